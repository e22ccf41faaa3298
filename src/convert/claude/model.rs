//! Model capabilities that can be derived from the model's name.
//!
//! Source: Anthropic's documentation. Claude 3.7 to 4.5 take a thinking budget, later models an effort. From 4.7
//! on no model takes `temperature` or `top_p`. Structured output came with 4.5 and Opus 4.1. An unknown Claude is
//! treated like the newest.

/// The vendor of the models behind the Messages API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Claude, or another model at a host of the Messages API.
    #[default]
    Claude,
    /// Gemini; the messages are converted once more.
    Gemini,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convert) enum Model {
    Claude {
        /// `(4, 5)`; `None` if the name has no version.
        version: Option<(u32, u32)>,
        opus: bool,
    },
    /// Another vendor's model at a host of the Messages API.
    Foreign,
    /// Gemini; the next converter decides.
    Gemini,
}

/// The parameter that controls thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convert) enum Thinking {
    None,
    Budget,
    Effort {
        /// The model accepts the effort `xhigh`.
        most: bool,
    },
}

impl Model {
    pub(in crate::convert) fn of(name: &str, target: Target) -> Self {
        match target {
            Target::Gemini => Self::Gemini,
            Target::Claude if name.contains("claude") => Self::Claude {
                version: version(name),
                opus: name.contains("opus"),
            },
            Target::Claude => Self::Foreign,
        }
    }

    /// The version is known and lower than this.
    fn is_before(self, then: (u32, u32)) -> bool {
        matches!(self, Self::Claude { version: Some(version), .. } if version < then)
    }

    pub(in crate::convert) fn thinking(self) -> Thinking {
        match self {
            Self::Gemini => Thinking::Effort { most: true },
            Self::Foreign => Thinking::Budget,
            Self::Claude { .. } if self.is_before((3, 7)) => Thinking::None,
            Self::Claude { .. } if self.is_before((4, 6)) => Thinking::Budget,
            Self::Claude { .. } => Thinking::Effort {
                most: !self.is_before((4, 7)),
            },
        }
    }

    /// The `max_tokens` to send if the client sets none; `None` if it is not required.
    pub(in crate::convert) fn usual_output(self) -> Option<u64> {
        match self {
            Self::Gemini => None,
            Self::Claude { .. } if self.is_before((3, 5)) => Some(4_096),
            Self::Claude { .. } if self.is_before((3, 7)) => Some(8_192),
            Self::Claude { .. } | Self::Foreign => Some(32_000),
        }
    }

    pub(in crate::convert) fn takes_sampling(self) -> bool {
        !matches!(self, Self::Claude { .. }) || self.is_before((4, 7))
    }

    pub(in crate::convert) fn takes_schema(self) -> bool {
        let opus = matches!(self, Self::Claude { opus: true, .. });
        !self.is_before(if opus { (4, 1) } else { (4, 5) })
    }
}

/// `claude-3-5-haiku-20241022` -> `(3, 5)`, `claude-opus-4-1` -> `(4, 1)`, `claude-sonnet-5` -> `(5, 0)`.
fn version(name: &str) -> Option<(u32, u32)> {
    let mut pieces = name.split(['-', '.', '@']);
    // Numbers of more digits are dates.
    let number = |piece: &str| (piece.len() <= 2).then(|| piece.parse().ok()).flatten();
    let major = pieces.find_map(number)?;
    let minor = pieces.next().and_then(number).unwrap_or_default();
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (name, expected) in [
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("claude-3-5-sonnet-latest", Some((3, 5))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-opus-4-1-20250805", Some((4, 1))),
            ("anthropic/claude-opus-4.5", Some((4, 5))),
            ("claude-haiku-5-5", Some((5, 5))),
            ("claude-sonnet-6", Some((6, 0))),
            ("claude-next", None),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_model_takes_follows() {
        let claude = |name| Model::of(name, Target::Claude);
        assert_eq!(claude("claude-3-5-haiku-latest").thinking(), Thinking::None);
        assert_eq!(claude("claude-sonnet-4-5").thinking(), Thinking::Budget);
        assert_eq!(
            claude("claude-opus-4-6").thinking(),
            Thinking::Effort { most: false }
        );
        assert_eq!(claude("claude-new").thinking(), Thinking::Effort { most: true });
        assert_eq!(claude("glm-5").thinking(), Thinking::Budget);
        assert_eq!(claude("claude-3-opus-20240229").usual_output(), Some(4_096));
        assert_eq!(claude("claude-3-5-sonnet-latest").usual_output(), Some(8_192));
        assert_eq!(claude("claude-opus-5-5").usual_output(), Some(32_000));
        assert!(claude("claude-opus-4-1").takes_schema() && !claude("claude-sonnet-4-0").takes_schema());
        assert!(claude("claude-sonnet-4-6").takes_sampling() && !claude("claude-opus-4-7").takes_sampling());
        let gemini = Model::of("claude-opus-4-5-thinking", Target::Gemini);
        assert_eq!((gemini, gemini.usual_output()), (Model::Gemini, None));
    }
}
