//! Here nothing says where a thread runs.

pub(in crate::bench) struct Cores;

impl Cores {
    pub(in crate::bench) fn all() -> Self {
        Self
    }

    pub(in crate::bench) fn apart() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "elsewhere it does something")]
    pub(in crate::bench) fn to_target(&self) {}

    #[expect(clippy::unused_self, reason = "elsewhere it does something")]
    pub(in crate::bench) fn to_others(&self) {}
}
