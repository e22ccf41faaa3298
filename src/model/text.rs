//! Displayable text: rejects characters that make a text look like another.

/// Whether `c` must not be in a name or other displayed text: it moves, hides or breaks its surroundings, so that
/// two different texts look the same or one line looks like two.
///
/// These are: control characters (C0, C1), bidirectional controls, zero-width and invisible characters, line and
/// paragraph separators, tags, and noncharacters. From Unicode's `Bidi_Control`, `Default_Ignorable_Code_Point`
/// and `Noncharacter_Code_Point`, and the braille blank (U+2800), a symbol without ink that trimming does not
/// remove. The variation selectors of emoji (U+FE00 to U+FE0F) are allowed, the joiners (U+200C, U+200D) are not.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FDD0}'..='\u{FDEF}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
        || (c as u32) & 0xFFFE == 0xFFFE
}

/// Whether `text` has a visible character and no hidden one ([`is_hidden`]): a name of spaces or variation
/// selectors looks empty.
pub fn is_shown(text: &str) -> bool {
    let mut shown = text
        .chars()
        .filter(|c| !c.is_whitespace() && !('\u{FE00}'..='\u{FE0F}').contains(c));
    shown.next().is_some() && !text.contains(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_is_hidden_and_what_people_write_is_not() {
        for c in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{202e}',
            '\u{2066}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{feff}',
            '\u{ad}',
            '\u{115f}',
            '\u{1160}',
            '\u{2800}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{e0041}',
            '\u{ffff}',
            '\u{1ffff}',
            '\u{10fffe}',
        ] {
            assert!(is_hidden(c), "{c:?}");
            // A selector behind it does not make it visible.
            assert!(format!("{c}\u{fe0f}").contains(is_hidden), "{c:?}");
        }
        for text in [
            "Ä name",
            "名前 (2)",
            "❤\u{fe0f} 🔑",
            "عربى",
            "नाम",
            "⠝⠁⠍⠑",
            "a-b_c.d:e/f@g",
        ] {
            assert!(is_shown(text), "{text}");
        }
    }

    #[test]
    fn text_without_ink_is_not_shown() {
        for text in ["", " ", "\u{fe0f}", "\u{3000}\u{fe00}", "a\u{202e}"] {
            assert!(!is_shown(text), "{text:?}");
        }
    }
}
