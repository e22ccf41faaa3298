//! temp
pub fn utc(at: u64) -> String {
    at.to_string()
}
