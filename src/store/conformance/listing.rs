//! Listings.

use futures::future::join_all;

use super::trial::{Outcome, Sample, Trial, expect, failed};
use crate::store::{LIST_LIMIT, ObjectInfo};

/// In byte order. Neighbours that differ in case, in a separator, or in the first and last bytes that keys may have.
const NAMES: [&str; 12] = ["!", "A", "B/1", "a", "a!", "a-1", "a/1", "a/1/2", "a/2", "a0", "b", "~"];

pub(super) async fn lists_are_in_byte_order(trial: &Trial<'_>) -> Outcome {
    store_names(trial).await?;
    expect_names(trial, &trial.list_all(&trial.prefix, LIST_LIMIT).await?, &NAMES)
}

pub(super) async fn lists_keep_to_their_prefix(trial: &Trial<'_>) -> Outcome {
    store_names(trial).await?;
    for prefix in ["", "a", "a/", "a/1", "b", "~", "c", "a/1/2/3", "\u{e9}"] {
        let listed = trial.list_all(&format!("{}{prefix}", trial.prefix), LIST_LIMIT).await?;
        let expected: Vec<_> = NAMES.into_iter().filter(|name| name.starts_with(prefix)).collect();
        expect_names(trial, &listed, &expected)?;
    }
    Ok(())
}

pub(super) async fn lists_start_after_any_key(trial: &Trial<'_>) -> Outcome {
    store_names(trial).await?;
    // Keys that exist, keys between, and keys before and after all that the prefix takes.
    for start_after in ["!", "a", "a/1", "a/15", "a/9", "~", "~~", "C"] {
        for prefix in ["", "a/"] {
            let key = trial.key(start_after)?;
            let page = trial
                .store
                .list(&format!("{}{prefix}", trial.prefix), Some(&key), LIST_LIMIT)
                .await
                .map_err(failed("list"))?;
            let expected: Vec<_> =
                NAMES.into_iter().filter(|name| name.starts_with(prefix) && *name > start_after).collect();
            expect_names(trial, &page.objects, &expected)?;
        }
    }
    Ok(())
}

pub(super) async fn pages_of_any_size_cover_everything_once(trial: &Trial<'_>) -> Outcome {
    store_names(trial).await?;
    for limit in [1, 2, 5, 11, 12, 13] {
        expect_names(trial, &trial.list_all(&trial.prefix, limit).await?, &NAMES)?;
    }
    Ok(())
}

pub(super) async fn more_objects_than_one_page_holds_are_listed(trial: &Trial<'_>) -> Outcome {
    let names: Vec<_> = (0..=LIST_LIMIT).map(|number| format!("{number:04}")).collect();
    for group in names.chunks(50) {
        let puts = group.iter().map(|name| put_name(trial, name));
        join_all(puts).await.into_iter().collect::<Result<(), _>>()?;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for limit in [LIST_LIMIT, 300] {
        expect_names(trial, &trial.list_all(&trial.prefix, limit).await?, &names)?;
    }
    Ok(())
}

pub(super) async fn listed_objects_are_described_as_head_does(trial: &Trial<'_>) -> Outcome {
    for (name, size_bytes) in [("one", 1), ("two", 2_000)] {
        let mut object = trial.object(name, Sample::noise(size_bytes, 40).bytes)?;
        object.metadata.insert("name".to_owned(), format!("{name} \u{2713}"));
        trial.store.put(object).await.map_err(failed("put"))?;
    }
    for listed in trial.list_all(&trial.prefix, LIST_LIMIT).await? {
        let head = trial.store.head(&listed.key).await.map_err(failed("head"))?;
        expect(head.as_ref() == Some(&listed), format!("{listed:?} is described as {head:?}"))?;
    }
    Ok(())
}

async fn store_names(trial: &Trial<'_>) -> Outcome {
    // Not in key order, so that a listing in order of arrival shows.
    for name in NAMES.into_iter().rev() {
        put_name(trial, name).await?;
    }
    Ok(())
}

async fn put_name(trial: &Trial<'_>, name: &str) -> Outcome {
    trial.put(name, &Sample::new(name.as_bytes().to_vec())).await
}

fn expect_names(trial: &Trial<'_>, listed: &[ObjectInfo], expected: &[&str]) -> Outcome {
    let names: Vec<_> = listed.iter().map(|object| object.key.as_str().strip_prefix(&trial.prefix)).collect();
    let same =
        names.len() == expected.len() && names.iter().zip(expected).all(|(name, expected)| *name == Some(expected));
    expect(same, format!("the listing is {expected:?}, not {names:?}"))
}
