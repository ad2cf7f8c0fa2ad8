//! Compression: how answers are compressed, and which of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// How answers are compressed. Without either they are not, whatever ingress-nginx's ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// With gzip. Absent: no answer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gzip: Option<GzipCompression>,
    /// With Brotli, which comes before gzip for clients that take both alike. Absent: no answer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brotli: Option<BrotliCompression>,
}

/// Which answers are compressed with gzip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GzipCompression {
    /// How much effort it is worth. Absent: 1.
    #[schemars(range(min = 1, max = 9))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Smallest answer in bytes; one whose length is not known beforehand is large enough. Absent: 256.
    #[schemars(range(max = 4_294_967_295_u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u32>,
    /// Types of answers beside `text/html`, without parameters, or `*` for all. Absent: those of texts, scripts, feeds and
    /// fonts.
    #[schemars(length(min = 1, max = 64), transform = limits::media_types)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// Which answers are compressed with Brotli.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrotliCompression {
    /// How much effort it is worth. Absent: 4.
    #[schemars(range(max = 6))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Smallest answer in bytes; one whose length is not known beforehand is large enough. Absent: 20.
    #[schemars(range(max = 4_294_967_295_u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u32>,
    /// Types of answers beside `text/html`, without parameters, or `*` for all. Absent: those of texts, scripts, feeds and
    /// fonts.
    #[schemars(length(min = 1, max = 64), transform = limits::media_types)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}
