#!/bin/sh
# Builds etcd and kube-apiserver for the tests with Go, once, and prints the folder that holds them.
#
# The folder is ${XDG_CACHE_HOME:-$HOME/.cache}/selvedge/envtest/<hash of go.sum>; KUBEBUILDER_ASSETS, the
# convention of envtest, names another one that is already filled. Six minutes on two cores, then never again.
set -eu

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    echo "$KUBEBUILDER_ASSETS"
    exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
hash=$(cat "$here/go.sum" | sha256sum | cut -c1-16)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/selvedge/envtest/$hash

if [ -x "$folder/etcd" ] && [ -x "$folder/kube-apiserver" ]; then
    echo "$folder"
    exit 0
fi
command -v go >/dev/null || { echo "build.sh: no Go on this machine, so no real API server" >&2; exit 3; }

# Built beside and renamed, so that a build that breaks off leaves nothing that looks complete.
mkdir -p "${folder%/*}"
partial=$(mktemp -d "${folder%/*}/.building.XXXXXX")
trap 'rm -rf "$partial"' EXIT
cd "$here"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags "$flags" -o "$partial/kube-apiserver" \
    k8s.io/kubernetes/cmd/kube-apiserver >&2
CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$partial/etcd" \
    go.etcd.io/etcd/server/v3 >&2
chmod 755 "$partial"
# Another build may have been quicker; then its result is as good as ours.
mv -T "$partial" "$folder" 2>/dev/null || [ -x "$folder/kube-apiserver" ]
echo "$folder"
