//! What is stored comes back.

use super::arriving::ArrivingBytes;
use super::trial::{Outcome, READ_RUN_BYTES, Sample, Trial, expect, expect_content, failed, read_in_runs};
use crate::image::Format;
use crate::store::{ByteRange, CHUNK_BYTES, Media, ObjectMetadata};

pub(super) async fn an_empty_object_round_trips(trial: &Trial<'_>) -> Outcome {
    let empty = Sample::noise(0, 0);
    trial.put("empty", &empty).await?;
    trial.expect_stored("empty", &empty).await
}

pub(super) async fn sizes_around_chunk_boundaries_round_trip(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
        let sample = Sample::noise(size_bytes, 1);
        let name = size_bytes.to_string();
        trial.put(&name, &sample).await?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn large_objects_round_trip(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [4 * CHUNK_BYTES, 4 * CHUNK_BYTES + 1, 9 * CHUNK_BYTES + 5] {
        let sample = Sample::noise(size_bytes, 2);
        let name = size_bytes.to_string();
        trial.put(&name, &sample).await?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn streamed_bodies_round_trip(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [0, 1, CHUNK_BYTES + 1, 4 * CHUNK_BYTES, 8 * CHUNK_BYTES + 1] {
        let sample = Sample::noise(size_bytes, 3);
        let name = size_bytes.to_string();
        trial.put_body(&name, sample.streamed(), &sample).await?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn a_body_without_a_promised_length_round_trips(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [0, 1, 2 * CHUNK_BYTES + 1, 5 * CHUNK_BYTES] {
        let sample = Sample::noise(size_bytes, 4);
        let name = size_bytes.to_string();
        trial.put_body(&name, ArrivingBytes::new(&sample.bytes).into_body(None), &sample).await?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn a_body_that_was_peeked_at_round_trips(trial: &Trial<'_>) -> Outcome {
    let sample = Sample::noise(CHUNK_BYTES + 10, 5);
    let mut body = sample.streamed();
    let start = body.peek(4096).await.map_err(|error| error.to_string())?;
    expect(sample.bytes.starts_with(&start) && start.len() == 4096, "peek shows the start")?;
    trial.put_body("peeked", body, &sample).await?;
    trial.expect_stored("peeked", &sample).await
}

pub(super) async fn every_content_type_comes_back(trial: &Trial<'_>) -> Outcome {
    for media in Format::ALL.into_iter().map(Media::from).chain([Media::Ndjson]) {
        let mut object = trial.object(media.content_type(), Sample::noise(20, 6).bytes)?;
        object.media = media;
        let key = object.key.clone();
        trial.store.put(object).await.map_err(failed("put"))?;
        let head = trial.store.head(&key).await.map_err(failed("head"))?.ok_or("no head")?;
        expect(head.content_type == media.content_type(), format!("{} comes back", media.content_type()))?;
    }
    Ok(())
}

pub(super) async fn metadata_comes_back(trial: &Trial<'_>) -> Outcome {
    let long = "x".repeat(2_000);
    let pairs = [
        ("persona-id", "p-1"),
        ("title", "Käse \u{2014} 写真 \u{1f9c0} \"quoted\" \\ 50%"),
        ("empty", ""),
        ("long", &long),
    ];
    let mut object = trial.object("described", Sample::noise(100, 7).bytes)?;
    object.metadata = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (key, metadata) = (object.key.clone(), object.metadata.clone());
    trial.store.put(object).await.map_err(failed("put"))?;
    trial.put("undescribed", &Sample::noise(100, 8)).await?;

    let head = trial.store.head(&key).await.map_err(failed("head"))?.ok_or("no head")?;
    expect(head.metadata == metadata, format!("head has the metadata, not {:?}", head.metadata))?;
    let head = trial.store.head(&trial.key("undescribed")?).await.map_err(failed("head"))?.ok_or("no head")?;
    expect(head.metadata == ObjectMetadata::new(), "no metadata stays no metadata")
}

pub(super) async fn ranges_are_exact(trial: &Trial<'_>) -> Outcome {
    let size_bytes = 3 * CHUNK_BYTES + 7;
    let sample = Sample::noise(size_bytes, 9);
    trial.put("ranged", &sample).await?;
    let key = trial.key("ranged")?;
    let ranges = [
        (0, 1),
        (0, size_bytes),
        (1, CHUNK_BYTES - 1),
        (CHUNK_BYTES - 1, 1),
        (CHUNK_BYTES - 1, 2),
        (CHUNK_BYTES, 1),
        (CHUNK_BYTES, CHUNK_BYTES),
        (CHUNK_BYTES + 1, CHUNK_BYTES),
        (5, 2 * CHUNK_BYTES + 1),
        (2 * CHUNK_BYTES, CHUNK_BYTES + 7),
        (3 * CHUNK_BYTES, 7),
        (size_bytes - 1, 1),
    ];
    for (offset, length) in ranges {
        let range = ByteRange { offset_bytes: offset as u64, length_bytes: length as u64 };
        let stored = trial.store.get(&key, Some(range)).await.map_err(failed("get"))?.ok_or("not there")?;
        expect_content(stored.size_bytes, stored.sha256, &sample)?;
        expect(stored.body.promised_bytes() == Some(length as u64), "the body promises the range's length")?;
        let read = read_in_runs(stored.body, READ_RUN_BYTES).await?;
        let wanted = sample.bytes.get(offset..offset + length).unwrap_or_default();
        expect(read == wanted, format!("{length} bytes from {offset} are those"))?;
    }
    Ok(())
}

pub(super) async fn bodies_can_be_read_in_runs_of_any_length(trial: &Trial<'_>) -> Outcome {
    let sample = Sample::noise(2 * CHUNK_BYTES + 100, 10);
    trial.put("read", &sample).await?;
    let key = trial.key("read")?;
    for run_bytes in [65_536, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 99, 4 * CHUNK_BYTES] {
        let stored = trial.store.get(&key, None).await.map_err(failed("get"))?.ok_or("not there")?;
        let mut body = stored.body;
        let start = body.peek(run_bytes).await.map_err(|error| error.to_string())?;
        let expected_start = sample.bytes.get(..run_bytes.min(sample.bytes.len())).unwrap_or_default();
        expect(start == expected_start, format!("peeking at {run_bytes} bytes shows the start"))?;
        let read = read_in_runs(body, run_bytes).await?;
        expect(read == sample.bytes, format!("runs of {run_bytes} bytes make the object"))?;
    }
    Ok(())
}

pub(super) async fn reading_what_is_not_there_is_none(trial: &Trial<'_>) -> Outcome {
    trial.put("there/too", &Sample::noise(10, 11)).await?;
    for name in ["nothing", "there", "there/", "there/to", "there/too2"] {
        trial.expect_absent(name).await?;
        let range = ByteRange { offset_bytes: 5, length_bytes: 5 };
        let part = trial.store.get(&trial.key(name)?, Some(range)).await.map_err(failed("get"))?;
        expect(part.is_none(), format!("no part of {name} is there"))?;
    }
    Ok(())
}

pub(super) async fn deleted_objects_are_gone_and_their_keys_free(trial: &Trial<'_>) -> Outcome {
    let (first, second) = (Sample::noise(2 * CHUNK_BYTES, 12), Sample::noise(CHUNK_BYTES + 1, 13));
    let key = trial.key("deleted")?;
    trial.put("deleted", &first).await?;
    trial.put("deleted-not", &first).await?;
    trial.store.delete(&key).await.map_err(failed("delete"))?;
    trial.expect_absent("deleted").await?;
    trial.store.delete(&key).await.map_err(failed("second delete"))?;
    trial.expect_stored("deleted-not", &first).await?;
    trial.put("deleted", &second).await?;
    trial.expect_stored("deleted", &second).await
}
