//! Keys: what is declared of an annotation, and what becomes of one that somebody writes.

/// One annotation.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name without the prefix.
    pub name: &'static str,
    /// Other names for the same, which come after it.
    pub aliases: &'static [&'static str],
    /// Whether it is one of ours alone, which ingress-nginx does not have.
    pub own: bool,
    /// What its value looks like.
    pub form: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What counts without it, as one would write it; empty if that is nothing.
    pub default: &'static str,
    /// What it is held to, if its form does not say it.
    pub limits: &'static str,
    /// A value that somebody might write.
    pub example: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The value that counts in place of one that cannot be read, the safe one; empty if none does.
    pub fallback: &'static str,
    /// Whether it protects its paths, so that they answer 503 while it cannot be read or is not honoured.
    pub protects: bool,
}

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what its documentation says.
    Honoured,
    /// It does nearly that: how it differs.
    Approximated(&'static str),
    /// It changes nothing: why nothing has to be changed.
    NoEffect(&'static str),
    /// It is not taken: why, and what to use instead.
    Refused(&'static str),
}

/// An annotation that ingress-nginx and we have.
pub(super) const fn key(name: &'static str) -> Key {
    Key {
        name,
        aliases: &[],
        own: false,
        form: "",
        doc: "",
        default: "",
        limits: "",
        example: "",
        verdict: Verdict::Honoured,
        fallback: "",
        protects: false,
    }
}

/// An annotation that only we have.
pub(super) const fn own(name: &'static str) -> Key {
    Key { own: true, ..key(name) }
}

/// What is said of everything that is declared in one way: of an annotation, and of a setting for all of them. The word is
/// how reasons of Problems begin.
macro_rules! declared {
    ($type:ty, $word:literal) => {
        impl $type {
            /// The reason that a Problem gives for its verdict; `None` where there is nothing to tell.
            pub fn reason(&self) -> Option<String> {
                self.verdict.reason($word)
            }

            pub(super) const fn default(self, default: &'static str) -> Self {
                Self { default, ..self }
            }

            pub(super) const fn example(self, example: &'static str) -> Self {
                Self { example, ..self }
            }

            pub(super) const fn approximated(self, how: &'static str) -> Self {
                Self { verdict: $crate::annotations::Verdict::Approximated(how), ..self }
            }

            pub(super) const fn no_effect(self, why: &'static str) -> Self {
                Self { verdict: $crate::annotations::Verdict::NoEffect(why), ..self }
            }

            pub(super) const fn refused(self, why: &'static str) -> Self {
                Self { verdict: $crate::annotations::Verdict::Refused(why), ..self }
            }

            pub(super) const fn protects(self) -> Self {
                Self { protects: true, ..self }
            }
        }
    };
}
pub(crate) use declared;

declared!(Key, "Annotation");

impl Key {
    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(super) const fn fallback(self, fallback: &'static str) -> Self {
        Self { fallback, ..self }
    }

    pub(super) const fn limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }

    /// All of its names, the one that counts first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

impl Verdict {
    /// The verdict in a word or two, and what there is to say of it.
    pub fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Honoured => ("honoured", ""),
            Self::Approximated(how) => ("approximated", how),
            Self::NoEffect(why) => ("no effect here", why),
            Self::Refused(why) => ("refused", why),
        }
    }

    /// The reason that a Problem gives for it, of what it is the verdict on; `None` where there is nothing to tell.
    pub(crate) fn reason(self, of: &str) -> Option<String> {
        let fate = match self {
            Self::Honoured => return None,
            Self::Approximated(_) => "Approximated",
            Self::NoEffect(_) => "WithoutEffect",
            Self::Refused(_) => "Refused",
        };
        Some(format!("{of}{fate}"))
    }
}
