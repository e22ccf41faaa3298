//! Which processor core runs what: a target has one of its own where there are several, so that one event loop is
//! measured, and neither the load nor the provider is in its way.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use self::linux::Cores;
#[cfg(not(target_os = "linux"))]
pub(super) use self::other::Cores;

impl Cores {
    /// Starts something on the target's core.
    pub(super) fn target<T>(&self, start: impl FnOnce() -> T) -> T {
        self.to_target();
        let started = start();
        self.to_others();
        started
    }
}
