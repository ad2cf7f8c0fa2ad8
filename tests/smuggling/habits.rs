//! Lenient readers of requests: each has habits that real servers have, or had, and that the RFCs do not allow.

use std::ops::ControlFlow;

use crate::message::{Field, Line, LineEnds, Number, line};

/// How an origin reads.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Whose habits they are, for messages.
    pub name: &'static str,
    /// What ends a line.
    pub line_ends: LineEnds,
    /// Lines that begin with a space belong to the field before; else such a line is an error.
    pub folds: bool,
    /// Words of the request line may have any spaces between them, and the version may be missing.
    pub loose_words: bool,
    /// What becomes of a name with a space in it, or of a line without colon.
    pub bad_names: BadNames,
    /// `Content_Length` is `Content-Length`, as where fields become variables.
    pub underscores: bool,
    /// A value ends at NUL.
    pub stops_at_nul: bool,
    /// Of several fields of one name the last one counts, not the first one.
    pub last_field: bool,
    /// A length is worth more than a coding.
    pub length_first: bool,
    /// How lengths are read.
    pub length: Number,
    /// Which codings mean chunks.
    pub coding: Coding,
    /// How sizes of chunks are read.
    pub chunk_size: Number,
    /// Behind the data of a chunk two bytes are passed over, whatever they are.
    pub blind_chunk_end: bool,
    /// Requests other than POST, PUT and PATCH have no body for it.
    pub ignores_bodies: bool,
}

/// What becomes of a line that is no good field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadNames {
    /// The request is refused.
    Refuse,
    /// The line is passed over.
    PassOver,
    /// Spaces around the name are taken away.
    Trim,
}

/// Which values of `Transfer-Encoding` mean chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The word alone, in any case; anything else is refused.
    Exact,
    /// A list that ends with it.
    Last,
    /// A text that has it somewhere.
    Anywhere,
    /// The field is there.
    Any,
}

/// What [`Habits::next`] found.
#[derive(Debug)]
pub enum Reading {
    /// A request, and the bytes that it took.
    Whole(Request, usize),
    /// Not all of one has come; whether its head asks for `100 Continue`.
    More(bool),
    /// Nothing that this reader takes.
    Refused(&'static str),
}

/// A request as an origin reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Target.
    pub target: String,
    /// Value of the `Host` that counts.
    pub host: String,
    /// Id that the proxy gave it.
    pub id: String,
    /// Body; `None` if the origin did not look for one.
    pub body: Option<Vec<u8>>,
    /// Names of trailer fields, in lower case.
    pub trailers: Vec<String>,
    /// Whether the connection ends with it.
    pub closes: bool,
}

/// Readers like those in use. Not each of their habits is that of a current version.
pub const ALL: [Habits; 8] = [
    Habits { name: "strict", ..STRICT },
    Habits {
        name: "node",
        line_ends: LineEnds::LineFeed,
        folds: true,
        bad_names: BadNames::Trim,
        coding: Coding::Last,
        chunk_size: Number::Leading,
        ..STRICT
    },
    Habits {
        name: "python",
        line_ends: LineEnds::Either,
        folds: true,
        loose_words: true,
        bad_names: BadNames::PassOver,
        last_field: true,
        length: Number::Signed,
        coding: Coding::Anywhere,
        chunk_size: Number::Signed,
        ignores_bodies: true,
        ..STRICT
    },
    Habits {
        name: "nginx",
        line_ends: LineEnds::LineFeed,
        bad_names: BadNames::PassOver,
        stops_at_nul: true,
        chunk_size: Number::Leading,
        ..STRICT
    },
    Habits {
        name: "hyper",
        line_ends: LineEnds::LineFeed,
        coding: Coding::Last,
        chunk_size: Number::Trimmed,
        blind_chunk_end: true,
        ..STRICT
    },
    Habits {
        name: "length first",
        line_ends: LineEnds::LineFeed,
        folds: true,
        bad_names: BadNames::Trim,
        last_field: true,
        length_first: true,
        length: Number::Leading,
        coding: Coding::Anywhere,
        ..STRICT
    },
    Habits {
        name: "variables",
        line_ends: LineEnds::LineFeed,
        folds: true,
        loose_words: true,
        bad_names: BadNames::Trim,
        underscores: true,
        length: Number::Leading,
        coding: Coding::Any,
        chunk_size: Number::Leading,
        blind_chunk_end: true,
        ..STRICT
    },
    Habits {
        name: "old",
        line_ends: LineEnds::Either,
        folds: true,
        loose_words: true,
        bad_names: BadNames::Trim,
        stops_at_nul: true,
        length_first: true,
        length: Number::Leading,
        coding: Coding::Anywhere,
        chunk_size: Number::Wrapping,
        blind_chunk_end: true,
        ignores_bodies: true,
        ..STRICT
    },
];

const STRICT: Habits = Habits {
    name: "",
    line_ends: LineEnds::Both,
    folds: false,
    loose_words: false,
    bad_names: BadNames::Refuse,
    underscores: false,
    stops_at_nul: false,
    last_field: false,
    length_first: false,
    length: Number::Digits,
    coding: Coding::Exact,
    chunk_size: Number::Digits,
    blind_chunk_end: false,
    ignores_bodies: false,
};

/// Why reading stops: more is needed, or what is there is refused.
type Stop = ControlFlow<&'static str>;

const MORE: Stop = ControlFlow::Continue(());

fn refuse<T>(why: &'static str) -> Result<T, Stop> {
    Err(ControlFlow::Break(why))
}

impl Habits {
    /// Reads the request at the front of these bytes.
    pub fn next(&self, input: &[u8]) -> Reading {
        let mut expects = false;
        match self.read(input, &mut expects) {
            Ok((request, used)) => Reading::Whole(request, used),
            Err(ControlFlow::Continue(())) => Reading::More(expects),
            Err(ControlFlow::Break(why)) => Reading::Refused(why),
        }
    }

    /// All requests in these bytes.
    pub fn all(&self, mut input: &[u8]) -> Vec<Request> {
        let mut all = Vec::new();
        while let Reading::Whole(request, used) = self.next(input) {
            input = if request.closes { b"" } else { &input[used..] };
            all.push(request);
        }
        all
    }

    fn read(&self, input: &[u8], expects: &mut bool) -> Result<(Request, usize), Stop> {
        let mut rest = input;
        let mut first = self.line(&mut rest)?;
        while first.is_empty() {
            first = self.line(&mut rest)?;
        }
        let mut request = self.request_line(first)?;
        if request.closes {
            return Ok((request, input.len() - rest.len()));
        }
        let fields = self.fields(&mut rest)?;
        let get = |name: &str| self.value(&fields, name);
        request.host = get("host").unwrap_or_default();
        request.id = get("x-request-id").unwrap_or_default();
        request.closes = get("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"));
        *expects = get("expect").is_some();
        let has_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
        if has_body || !self.ignores_bodies {
            let (length, coding) = (get("content-length"), get("transfer-encoding"));
            request.body = Some(self.body(&mut rest, (length, coding), &mut request.trailers)?);
        }
        Ok((request, input.len() - rest.len()))
    }

    fn line<'a>(&self, rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
        match line(rest, self.line_ends) {
            Line::Whole { text, after } => {
                *rest = after;
                Ok(text)
            }
            Line::More => Err(MORE),
            Line::Bare => refuse("bare line end"),
        }
    }

    fn request_line(&self, line: &[u8]) -> Result<Request, Stop> {
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        let words: Vec<_> = match self.loose_words {
            true => text.split_ascii_whitespace().collect(),
            false => text.split(' ').collect(),
        };
        let named = |method: &str, target: &str, closes| {
            let (method, target) = (method.to_owned(), target.to_owned());
            Ok(Request { method, target, closes, ..Request::default() })
        };
        match words[..] {
            [method, target, "HTTP/1.0" | "HTTP/1.1"] => named(method, target, false),
            // HTTP/0.9, which has no fields and ends with the connection.
            ["GET", target] if self.loose_words => named("GET", target, true),
            [method, target, .., version] if self.loose_words && version.starts_with("HTTP/") => {
                named(method, target, false)
            }
            _ => refuse("no request line"),
        }
    }

    fn fields(&self, rest: &mut &[u8]) -> Result<Vec<Field>, Stop> {
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let line = self.line(rest)?;
            if line.is_empty() {
                return Ok(fields);
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                match (fields.last_mut(), self.bad_names) {
                    (Some(field), _) if self.folds => field.fold(line),
                    (_, BadNames::Refuse) => return refuse("folded line"),
                    _ => {}
                }
                continue;
            }
            match Field::read(line) {
                Some(field) if field.has_good_name() => fields.push(field),
                _ if self.bad_names == BadNames::Refuse => return refuse("bad name"),
                Some(field) if self.bad_names == BadNames::Trim => fields.push(field.trimmed()),
                _ => {}
            }
        }
    }

    fn value(&self, fields: &[Field], name: &str) -> Option<String> {
        let is_named = |field: &&Field| match self.underscores {
            true => field.name.replace('_', "-") == name,
            false => field.name == name,
        };
        let mut found = fields.iter().filter(is_named);
        let field = if self.last_field { found.next_back() } else { found.next() }?;
        let end = field.value.find('\0').filter(|_| self.stops_at_nul).unwrap_or(field.value.len());
        Some(field.value[..end].to_owned())
    }

    fn body(
        &self,
        rest: &mut &[u8],
        (length, coding): (Option<String>, Option<String>),
        trailers: &mut Vec<String>,
    ) -> Result<Vec<u8>, Stop> {
        if let Some(length) = length.as_deref().filter(|_| self.length_first || coding.is_none()) {
            let Some(length) = self.length.read(length, 10) else { return refuse("bad length") };
            return take(rest, length);
        }
        let Some(coding) = coding.map(|coding| coding.to_ascii_lowercase()) else { return Ok(Vec::new()) };
        let is_chunked = match self.coding {
            Coding::Exact => coding == "chunked",
            Coding::Last => coding.rsplit(',').next().is_some_and(|last| last.trim() == "chunked"),
            Coding::Anywhere => coding.contains("chunked"),
            Coding::Any => true,
        };
        match (is_chunked, length.as_deref()) {
            (true, _) => self.chunks(rest, trailers),
            (false, _) if self.coding == Coding::Exact => refuse("unknown coding"),
            (false, Some(length)) => take(rest, self.length.read(length, 10).unwrap_or(0)),
            (false, None) => Ok(Vec::new()),
        }
    }

    fn chunks(&self, rest: &mut &[u8], trailers: &mut Vec<String>) -> Result<Vec<u8>, Stop> {
        let mut body = Vec::new();
        loop {
            let line = self.line(rest)?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size: String = size.iter().map(|byte| char::from(*byte)).collect();
            let Some(size) = self.chunk_size.read(&size, 16) else { return refuse("bad chunk size") };
            if size == 0 {
                trailers.extend(self.fields(rest)?.into_iter().map(|field| field.name));
                return Ok(body);
            }
            body.extend(take(rest, size)?);
            if self.blind_chunk_end {
                take(rest, 2)?;
            } else if !self.line(rest)?.is_empty() {
                return refuse("bad chunk end");
            }
        }
    }
}

fn take(rest: &mut &[u8], length: u64) -> Result<Vec<u8>, Stop> {
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, after) = split.ok_or(MORE)?;
    *rest = after;
    Ok(taken.to_vec())
}
