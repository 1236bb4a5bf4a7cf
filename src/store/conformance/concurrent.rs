//! Calls at the same time.

use futures::future::{join, join_all};

use super::arriving::{ArrivingBytes, gate};
use super::trial::{Outcome, Sample, Trial, failed};
use crate::bytes::Body;
use crate::store::{CHUNK_BYTES, StoreErrorKind};

pub(super) async fn equal_puts_at_once_all_succeed(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [1_000, 5 * CHUNK_BYTES] {
        let name = size_bytes.to_string();
        let sample = Sample::noise(size_bytes, 30);
        let puts = (0..4).map(|_| trial.put(&name, &sample));
        join_all(puts).await.into_iter().collect::<Result<(), _>>()?;
        trial.expect_stored(&name, &sample).await?;
    }
    Ok(())
}

pub(super) async fn of_unequal_puts_at_once_one_succeeds(trial: &Trial<'_>) -> Outcome {
    for size_bytes in [1_000, 5 * CHUNK_BYTES] {
        let contenders: Vec<_> = (0..3).map(|seed| Sample::noise(size_bytes, 31 + seed)).collect();
        let bodies = contenders.iter().map(|sample| sample.bytes.clone().into()).collect();
        expect_one_winner(trial, &size_bytes.to_string(), &contenders, bodies).await?;
    }
    Ok(())
}

pub(super) async fn of_unequal_streamed_puts_at_once_one_succeeds(trial: &Trial<'_>) -> Outcome {
    let contenders: Vec<_> = (0..3).map(|seed| Sample::noise(5 * CHUNK_BYTES + 9, 34 + seed)).collect();
    let bodies = contenders.iter().map(Sample::streamed).collect();
    expect_one_winner(trial, "streamed", &contenders, bodies).await
}

pub(super) async fn a_half_written_object_is_invisible(trial: &Trial<'_>) -> Outcome {
    for (name, size_bytes) in [("small", 1_000), ("large", 7 * CHUNK_BYTES)] {
        let sample = Sample::noise(size_bytes, 37);
        let (gate, reached, open) = gate();
        let body = ArrivingBytes::new(&sample.bytes).held_at(100, gate).into_body(Some(sample.size_bytes()));
        let put = trial.put_body(name, body, &sample);
        let look = async {
            reached.await.map_err(|_| "the put ended before it had read its body")?;
            let absent = trial.expect_absent(name).await;
            let _ = open.send(());
            absent
        };
        let (stored, absent) = join(put, look).await;
        absent?;
        stored?;
        trial.expect_stored(name, &sample).await?;
    }
    Ok(())
}

async fn expect_one_winner(trial: &Trial<'_>, name: &str, contenders: &[Sample], bodies: Vec<Body>) -> Outcome {
    let objects = bodies.into_iter().map(|body| trial.object(name, body)).collect::<Result<Vec<_>, _>>()?;
    let outcomes = join_all(objects.into_iter().map(|object| trial.store.put(object))).await;
    let mut winners = Vec::new();
    for (outcome, sample) in outcomes.into_iter().zip(contenders) {
        match outcome {
            Ok(_) => winners.push(sample),
            Err(error) if error.kind == StoreErrorKind::KeyTaken => {}
            Err(error) => return Err(failed("a losing put")(error)),
        }
    }
    let [winner] = winners[..] else { return Err(format!("{} puts succeeded", winners.len())) };
    trial.expect_stored(name, winner).await
}
