//! What must not be stored is not.

use super::arriving::ArrivingBytes;
use super::trial::{Outcome, Sample, Trial, expect, expect_receipt, failed};
use crate::bytes::Body;
use crate::image::Sha256Digest;
use crate::store::{CHUNK_BYTES, StoreErrorKind};

/// A body that fits one call to any store, and one that does not.
const SIZES_BYTES: [usize; 2] = [1_000, 5 * CHUNK_BYTES + 500];

pub(super) async fn the_same_bytes_again_change_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let name = size_bytes.to_string();
        let sample = Sample::noise(size_bytes, 20);
        trial.put(&name, &sample).await?;
        let before = trial.store.head(&trial.key(&name)?).await.map_err(failed("head"))?;
        let mut again = trial.object(&name, sample.bytes.clone())?;
        again.metadata.insert("attempt".to_owned(), "2".to_owned());
        let receipt = trial.store.put(again).await.map_err(failed("second put"))?;
        expect_receipt(&receipt, &sample)?;
        let after = trial.store.head(&trial.key(&name)?).await.map_err(failed("head"))?;
        expect(before == after, "the object is as the first put left it")?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn other_bytes_under_a_taken_key_are_refused(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let name = size_bytes.to_string();
        let sample = Sample::noise(size_bytes, 21);
        trial.put(&name, &sample).await?;
        let same_length = Sample::noise(size_bytes, 22).bytes;
        let shorter = sample.bytes.get(1..).unwrap_or_default().to_vec();
        for other in [same_length, shorter, Vec::new()] {
            expect_refused(trial, &name, other, None, |kind| *kind == StoreErrorKind::KeyTaken).await?;
        }
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn a_right_digest_is_accepted(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let sample = Sample::noise(size_bytes, 23);
        for (name, body) in [("blob", sample.bytes.clone().into()), ("stream", sample.streamed())] {
            let name = format!("{name}-{size_bytes}");
            let mut object = trial.object(&name, body)?;
            object.sha256 = Some(sample.sha256);
            let receipt = trial.store.put(object).await.map_err(failed("put"))?;
            expect_receipt(&receipt, &sample)?;
            trial.expect_stored(&name, &sample).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_wrong_digest_stores_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        expect_mismatch(trial, &size_bytes.to_string(), Sample::noise(size_bytes, 24).bytes).await?;
    }
    Ok(())
}

pub(super) async fn a_wrong_digest_of_a_stream_stores_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        expect_mismatch(trial, &size_bytes.to_string(), Sample::noise(size_bytes, 25).streamed()).await?;
    }
    Ok(())
}

pub(super) async fn a_short_body_stores_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let sample = Sample::noise(size_bytes, 26);
        for missing_bytes in [1, 1_000] {
            let body = ArrivingBytes::new(&sample.bytes).into_body(Some(sample.size_bytes() + missing_bytes));
            expect_broken(trial, &format!("{size_bytes}-{missing_bytes}"), body).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_long_body_stores_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let sample = Sample::noise(size_bytes, 27);
        for surplus_bytes in [1, 500] {
            let body = ArrivingBytes::new(&sample.bytes).into_body(Some(sample.size_bytes() - surplus_bytes));
            expect_broken(trial, &format!("{size_bytes}-{surplus_bytes}"), body).await?;
        }
    }
    Ok(())
}

pub(super) async fn an_interrupted_body_stores_nothing(trial: &Trial<'_>) -> Outcome {
    for size_bytes in SIZES_BYTES {
        let sample = Sample::noise(size_bytes, 28);
        for promised_bytes in [Some(sample.size_bytes() + 10), None] {
            let body = ArrivingBytes::new(&sample.bytes).then_breaks().into_body(promised_bytes);
            expect_broken(trial, &format!("{size_bytes}-{}", promised_bytes.is_some()), body).await?;
        }
    }
    Ok(())
}

async fn expect_refused(
    trial: &Trial<'_>,
    name: &str,
    body: impl Into<Body>,
    sha256: Option<Sha256Digest>,
    expected: impl Fn(&StoreErrorKind) -> bool,
) -> Outcome {
    let mut object = trial.object(name, body)?;
    object.sha256 = sha256;
    match trial.store.put(object).await {
        Ok(_) => Err(format!("{name} was stored")),
        Err(error) => expect(expected(&error.kind), format!("{name} is refused for the right reason, not {error}")),
    }
}

/// The body is refused as having another digest, nothing is there, and the key is still free.
async fn expect_mismatch(trial: &Trial<'_>, name: &str, body: impl Into<Body>) -> Outcome {
    let wrong = Some(Sha256Digest::of(b"something else"));
    expect_refused(trial, name, body, wrong, |kind| *kind == StoreErrorKind::ChecksumMismatch).await?;
    expect_free(trial, name).await
}

/// The body is refused as broken, nothing is there, and the key is still free.
async fn expect_broken(trial: &Trial<'_>, name: &str, body: Body) -> Outcome {
    expect_refused(trial, name, body, None, |kind| matches!(kind, StoreErrorKind::Body(_))).await?;
    expect_free(trial, name).await
}

async fn expect_free(trial: &Trial<'_>, name: &str) -> Outcome {
    trial.expect_absent(name).await?;
    let other = Sample::noise(100, 29);
    trial.put(name, &other).await?;
    trial.expect_stored(name, &other).await
}
