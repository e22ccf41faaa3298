//! Model capabilities that can be derived from the model's name.
//!
//! An unknown name is treated like Gemini's newest model.

/// A model's name and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model<'a> {
    pub name: &'a str,
    gemini: bool,
    /// `(2, 5)`; `None` if the name has no version, as `gemini-flash-latest`.
    version: Option<(u32, u32)>,
}

/// The parameter that controls thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// The model does not think, or has no such parameter.
    None,
    /// `thinkingBudget` in this range; `least` is 0 where thinking can be switched off.
    Budget { least: u32, most: u32 },
    /// `thinkingLevel`; not all models accept `medium`.
    Level { medium: bool },
}

impl<'a> Model<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        let name = name.strip_prefix("models/").unwrap_or(name);
        let rest = name.strip_prefix("gemini-");
        Self {
            name,
            gemini: rest.is_some(),
            version: rest.and_then(version),
        }
    }

    /// The vendor whose signatures it accepts: `gemini`, `claude`, ...; Antigravity serves models of several
    /// vendors.
    pub(super) fn vendor(&self) -> &'a str {
        let end = self.name.find(|c: char| !c.is_ascii_alphanumeric());
        end.and_then(|end| self.name.get(..end)).unwrap_or(self.name)
    }

    pub(super) fn is_gemini(&self) -> bool {
        self.gemini
    }

    /// Gemini 3 and later: calls must be signed, results may contain images, tools and structured output can be
    /// combined.
    pub(super) fn is_modern(&self) -> bool {
        self.gemini && self.version.is_none_or(|version| version >= (3, 0))
    }

    /// It produces images: `gemini-2.5-flash-image`, `gemini-3-pro-image-preview`,
    /// `gemini-2.0-flash-exp-image-generation`.
    pub(super) fn makes_images(&self) -> bool {
        self.gemini && self.name.split('-').any(|word| word == "image")
    }

    /// Maximum output tokens; Gemini refuses higher values. Claude Code asks for up to 128,000.
    pub(super) fn most_output(&self) -> Option<u64> {
        match self.version {
            _ if !self.gemini => None,
            Some(version) if version < (2, 5) => Some(8_192),
            _ => Some(65_535),
        }
    }

    pub(super) fn thinking(&self) -> Thinking {
        match self.version {
            _ if !self.gemini => Thinking::Budget {
                least: 0,
                most: u32::MAX,
            },
            Some(version) if version < (2, 5) => Thinking::None,
            Some((2, _)) if self.name.contains("pro") => Thinking::Budget {
                least: 128,
                most: 32_768,
            },
            Some((2, _)) => Thinking::Budget {
                least: 0,
                most: 24_576,
            },
            Some((3, 0)) => Thinking::Level {
                medium: !self.name.contains("pro"),
            },
            _ => Thinking::Level { medium: true },
        }
    }
}

/// `2.5-pro` -> `(2, 5)`, `3-flash` -> `(3, 0)`.
fn version(rest: &str) -> Option<(u32, u32)> {
    let digits = rest.split('-').next()?;
    let (major, minor) = digits.split_once('.').unwrap_or((digits, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        let model = Model::of("models/gemini-2.5-pro");
        assert_eq!((model.name, model.vendor()), ("gemini-2.5-pro", "gemini"));
        assert!(!model.is_modern());
        assert_eq!(
            model.thinking(),
            Thinking::Budget {
                least: 128,
                most: 32_768
            }
        );
        assert_eq!(Model::of("gemini-2.0-flash").thinking(), Thinking::None);
        assert_eq!(Model::of("gemini-2.0-flash").most_output(), Some(8_192));
        for (name, medium) in [
            ("gemini-3-pro-preview", false),
            ("gemini-3-flash", true),
            ("gemini-3.1-pro", true),
            ("gemini-flash-latest", true),
        ] {
            assert!(Model::of(name).is_modern(), "{name}");
            assert_eq!(Model::of(name).thinking(), Thinking::Level { medium }, "{name}");
        }
        let claude = Model::of("claude-opus-4-5-thinking");
        assert_eq!((claude.vendor(), claude.is_modern()), ("claude", false));
        assert_eq!(claude.most_output(), None);
    }
}
