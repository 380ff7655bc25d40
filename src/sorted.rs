//! Short lists in order. The standard library's sort and its sorted collections cost four kilobytes for every type
//! they hold; these lists have at most some hundred entries.

use std::cmp::Ordering;

/// The items in order; those that compare alike stay as they came.
pub(crate) fn by<T>(items: impl IntoIterator<Item = T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut sorted = Vec::new();
    for item in items {
        let at = sorted.partition_point(|known| compare(known, &item) != Ordering::Greater);
        sorted.insert(at, item);
    }
    sorted
}

/// Names in order, each once.
pub(crate) fn names(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut sorted = by(items, Ord::cmp);
    sorted.dedup();
    sorted
}

#[cfg(test)]
mod tests {
    use super::{by, names};

    #[test]
    fn what_compares_alike_stays_as_it_came() {
        let sorted = by([(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')], |one, other| one.0.cmp(&other.0));
        assert_eq!(sorted, [(1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')]);
    }

    #[test]
    fn names_stand_in_order_and_once() {
        assert_eq!(names(["b", "a", "b"].map(str::to_owned)), ["a", "b"]);
    }
}
