//! Splits an event stream into lines from bytes cut anywhere; used by all stream readers. Lines end in LF, CR LF
//! or CR (HTML standard, "Parsing an event stream").

/// Finds line ends. Parts of an incomplete line are returned as they come, without copying.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Splitter {
    /// The last byte was a CR; a following LF belongs to it.
    after_cr: bool,
}

/// Bytes of one line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    /// These are the line's last bytes.
    pub(crate) is_last: bool,
}

impl Splitter {
    /// Takes the next part of a line from the front of `rest`. `None` if there are no more bytes.
    #[inline]
    pub(crate) fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Part<'a>> {
        if self.after_cr
            && let Some((first, tail)) = rest.split_first()
        {
            self.after_cr = false;
            if *first == b'\n' {
                *rest = tail;
            }
        }
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\n', b'\r', rest);
        let (bytes, tail) = end
            .and_then(|end| rest.split_at_checked(end))
            .unwrap_or((rest, &[]));
        let (end, tail) = tail.split_first().unzip();
        self.after_cr = end == Some(&b'\r');
        *rest = tail.unwrap_or_default();
        Some(Part {
            bytes,
            is_last: end.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(stream: &[u8], cuts: usize) -> Vec<Vec<u8>> {
        let (mut splitter, mut lines) = (Splitter::default(), vec![Vec::new()]);
        for mut chunk in stream.chunks(cuts) {
            while let Some(part) = splitter.next(&mut chunk) {
                lines.last_mut().unwrap().extend_from_slice(part.bytes);
                if part.is_last {
                    lines.push(Vec::new());
                }
            }
        }
        lines
    }

    #[test]
    fn each_end_of_a_line_is_one_end() {
        let found = lines(b"a\nb\r\nc\rd\r\r\n\n\re", usize::MAX);
        let expected = ["a", "b", "c", "d", "", "", "", "e"].map(|line| line.as_bytes().to_vec());
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(stream in "[ab\r\n]{0,40}", cuts in 1_usize..9) {
            prop_assert_eq!(lines(stream.as_bytes(), cuts), lines(stream.as_bytes(), usize::MAX));
        }
    }
}
