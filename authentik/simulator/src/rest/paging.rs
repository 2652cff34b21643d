//! Divides lists into pages.

use serde::Serialize;

use super::response::Refusal;
use crate::call::Call;
use crate::json::{Json, object};

const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 100;

/// The body of a list response.
#[derive(Serialize)]
pub struct Page<T> {
    pagination: Pagination,
    results: Vec<T>,
    autocomplete: Json,
}

/// The position of the page. `next` and `previous` are page numbers; 0 means that there is no such page.
#[derive(Serialize)]
struct Pagination {
    next: usize,
    previous: usize,
    count: usize,
    current: usize,
    total_pages: usize,
    start_index: usize,
    end_index: usize,
}

/// The page that the request asks for. `show` is called only for the rows of this page.
pub fn page<R, T>(
    call: &Call,
    model: &str,
    count: usize,
    rows: impl Iterator<Item = R>,
    show: impl FnMut(R) -> T,
) -> Result<Page<T>, Refusal> {
    let requested_size = call.parameter("page_size").and_then(|size| size.parse().ok());
    let size = requested_size.filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE).min(MAX_SIZE);
    let total_pages = count.div_ceil(size).max(1);
    let current = match call.parameter("page") {
        None => 1,
        Some("last") => total_pages,
        Some(number) => number.parse().map_err(|_| Refusal::InvalidPage)?,
    };
    if current == 0 || current > total_pages {
        return Err(Refusal::InvalidPage);
    }
    let n_skipped = (current - 1) * size;
    let results: Vec<T> = rows.skip(n_skipped).take(size).map(show).collect();
    let pagination = Pagination {
        next: if current < total_pages { current + 1 } else { 0 },
        previous: current - 1,
        count,
        current,
        total_pages,
        start_index: if count == 0 { 0 } else { n_skipped + 1 },
        end_index: n_skipped + results.len(),
    };
    // authentik's admin interface uses this to complete searches.
    let models = object([(model, object([]))]);
    let autocomplete = object([("current_model", model.into()), ("models", models)]);
    Ok(Page { pagination, results, autocomplete })
}
