//! Lists: search, sort, then one page.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::ApiError;

const PAGE_SIZE: u32 = 20;
const LARGEST_PAGE: u32 = 100;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "they are the names of the API")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Counts from 1.
    pub(crate) page: u32,
    pub(crate) page_size: u32,
    /// Number of items on all pages.
    pub(crate) total: usize,
    /// 0 if there are no items.
    pub(crate) total_pages: usize,
}

impl<T> Page<T> {
    /// The same page with other items.
    pub(crate) fn showing<U>(&self, items: Vec<U>) -> Page<U> {
        Page {
            items,
            page: self.page,
            page_size: self.page_size,
            total: self.total,
            total_pages: self.total_pages,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Asc,
    #[default]
    Desc,
}

impl Order {
    /// Reverses `ordering` if necessary.
    pub(crate) fn of(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Asc => ordering,
            Self::Desc => ordering.reverse(),
        }
    }
}

/// The requested page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    page: u32,
    size: u32,
}

impl Slice {
    pub(crate) fn read(page: Option<u32>, size: Option<u32>) -> Result<Self, ApiError> {
        let page = page.unwrap_or(1);
        let size = size.unwrap_or(PAGE_SIZE);
        if page == 0 {
            return Err(ApiError::invalid("page", "`page` must be 1 or more"));
        }
        if !(1..=LARGEST_PAGE).contains(&size) {
            let message = format!("`pageSize` must be from 1 to {LARGEST_PAGE}");
            return Err(ApiError::invalid("pageSize", message));
        }
        Ok(Self { page, size })
    }

    /// Number of items before the page.
    pub(crate) fn offset(self) -> usize {
        (self.page as usize - 1).saturating_mul(self.size as usize)
    }

    pub(crate) fn size(self) -> usize {
        self.size as usize
    }

    /// Takes the page out of all items.
    pub(crate) fn of<T>(self, all: Vec<T>) -> Page<T> {
        let total = all.len();
        let items = all.into_iter().skip(self.offset()).take(self.size()).collect();
        self.page(items, total)
    }

    pub(crate) fn page<T>(self, items: Vec<T>, total: usize) -> Page<T> {
        Page {
            items,
            page: self.page,
            page_size: self.size,
            total,
            total_pages: total.div_ceil(self.size()),
        }
    }
}

/// Whether one of `texts` contains the search text, ignoring case. Without a search text everything matches.
pub(crate) fn found(search: Option<&str>, texts: &[&str]) -> bool {
    let wanted = search.unwrap_or("").trim().to_lowercase();
    wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
}

/// Orders names without regard to case.
pub(crate) fn by_name(a: &str, b: &str) -> Ordering {
    a.to_lowercase().cmp(&b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_at_their_edges() {
        let page = |page, size| Slice::read(page, size).map(|slice| slice.of((1..=45).collect::<Vec<u32>>()));
        let first = page(None, None).unwrap();
        assert_eq!((first.items.len(), first.page, first.page_size), (20, 1, 20));
        assert_eq!((first.total, first.total_pages), (45, 3));
        assert_eq!(
            page(Some(3), None).unwrap().items,
            (41..=45).collect::<Vec<u32>>()
        );
        assert!(page(Some(4), None).unwrap().items.is_empty());
        assert!(page(Some(u32::MAX), Some(100)).unwrap().items.is_empty());
        assert_eq!(page(Some(1), Some(45)).unwrap().total_pages, 1);
        for (number, size, field) in [
            (Some(0), None, "page"),
            (None, Some(0), "pageSize"),
            (None, Some(101), "pageSize"),
        ] {
            assert_eq!(page(number, size).unwrap_err().field.as_deref(), Some(field));
        }
        let none = Slice::read(None, None).unwrap().of(Vec::<u32>::new());
        assert_eq!((none.total, none.total_pages), (0, 0));
    }

    #[test]
    fn searches_in_any_case() {
        assert!(found(Some(" TEAM "), &["My team's key"]));
        assert!(found(Some("schlüssel"), &["SCHLÜSSEL"]));
        assert!(!found(Some("x"), &["abc", ""]));
        assert!(found(None, &[]));
    }
}
