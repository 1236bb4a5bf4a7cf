//! Hosts of links that fail, are slow, or want to be asked less, and what is fetched from them twice.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::json;
use stillstore::bytes::BodyError;
use stillstore::http::{HttpError, HttpResponse};

use crate::api::migrate_crash::take_up;
use crate::image_fixtures::bytes;
use crate::migrate_table::{act, fetch, large_jpeg, objects, query};
use crate::migrate_url::{ROWS, insert, migrate, page, post, reasons, source, world, world_with};

#[test]
fn a_host_that_fails_keeps_its_own_links_waiting_and_is_given_up_in_the_end() {
    let world = world();
    for id in ["a", "b", "c"] {
        insert(&world.sqlite, id, &format!("https://down.example.org/{id}.png"));
    }
    for id in ["x", "y", "z"] {
        post(&world, id, &format!("https://up.example.org/{id}.png"));
    }
    let mut run = act(&world, &json!({"action": "migrate", "source": "posts"}));
    assert_eq!(run["result"]["migrated"], 3, "the other host's links do not wait: {run}");
    if run["state"] == "running" {
        run = take_up(&world, "a host that is down");
    }
    assert_eq!((&run["state"], &run["progress"]["failed"]), (&json!("completed_with_errors"), &json!(3)), "{run}");
    let asked = world.outside.asked();
    let of_down = asked.iter().filter(|url| url.starts_with("https://down")).count();
    assert!((6..=18).contains(&of_down), "asked {of_down} times");
    let causes: Vec<_> = run["result"]["errors"].as_array().unwrap().iter().map(|error| &error["reason"]).collect();
    assert_eq!(json!(causes), json!(["unreachable", "unreachable", "unreachable"]));
    // Up again, it is asked by the next run.
    for id in ["a", "b", "c"] {
        world.outside.has(&format!("https://down.example.org/{id}.png"), 200, &bytes("rgb.png"));
    }
    let run = migrate(&world);
    assert_eq!(run["result"]["migrated"], 3, "{run}");
}

#[test]
fn a_host_says_when_it_wants_to_be_asked_again() {
    let world = world();
    let link = "https://one.example.org/a.png";
    post(&world, "a", link);
    let throttled = HttpResponse { headers: vec![("Retry-After".to_owned(), "7".to_owned())], ..page(429, b"") };
    world.outside.has_first(link, Ok(throttled));
    let before = world.runtime.now_ms();
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["state"]), (&json!(1), &json!("completed")), "{run}");
    assert!(world.runtime.now_ms() - before >= 7_000);
    assert_eq!(world.outside.asked().len(), 2);

    let world = self::world();
    post(&world, "a", link);
    let later = HttpResponse { headers: vec![("Retry-After".to_owned(), "86400".to_owned())], ..page(503, b"") };
    world.outside.has_first(link, Ok(later));
    let run = migrate(&world);
    assert_eq!(reasons(&world, &run), [(json!("a"), json!("unreachable"))], "a day is too long to wait");
}

#[test]
fn every_link_of_a_host_that_answers_one_in_five_is_moved() {
    let world = world();
    for id in 0..3 {
        post(&world, &format!("{id}"), &format!("https://one.example.org/{id}.png"));
    }
    let asked = Cell::new(0);
    *world.outside.server.borrow_mut() = Some(Rc::new(move |_| {
        asked.set(asked.get() + 1);
        let headers = vec![("Retry-After".to_owned(), "1".to_owned())];
        (asked.get() % 5 != 0).then(|| Ok(HttpResponse { headers, ..page(429, b"") }))
    }));
    let run = migrate(&world);
    let run = if run["state"] == "running" { take_up(&world, "posts") } else { run };
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(3), &json!(0)), "{run}");
}

#[test]
fn what_breaks_off_is_tried_again_and_not_for_ever() {
    type Break = fn() -> BodyError;
    let breaks: [(Break, &str); 2] = [
        (|| BodyError::Interrupted("the connection broke".to_owned()), "unreachable"),
        (|| BodyError::TimedOut, "timeout"),
    ];
    for (how, cause) in breaks {
        let world = world();
        post(&world, "a", "https://one.example.org/a.png");
        world.outside.breaks.set(Some(how));
        let run = migrate(&world);
        let run = if run["state"] == "running" { take_up(&world, cause) } else { run };
        assert_eq!(run["result"]["errors"][0]["reason"], cause, "{run}");
        assert_eq!(world.outside.asked().len(), 4);
    }
}

#[test]
fn an_image_that_is_too_large_to_be_held_is_fetched_twice() {
    let world = world();
    let link = "https://one.example.org/a.jpg";
    let jpeg = large_jpeg(9 * 1024 * 1024);
    post(&world, "a", link);
    for length in [true, false] {
        let headers = if length { vec![("content-length".to_owned(), jpeg.len().to_string())] } else { Vec::new() };
        world.outside.pages.borrow_mut().insert(link.to_owned(), HttpResponse { headers, ..page(200, &jpeg) });
        let run = migrate(&world);
        assert_eq!(run["result"]["migrated"], 1, "{run}");
        assert_eq!(fetch(&world, &query(&world.sqlite, ROWS)[0]["picture"]), jpeg);
        let image = world.call("GET", "/api/images", None).json()["images"][0].clone();
        assert_eq!((&image["content_type"], &image["width"]), (&json!("image/jpeg"), &json!(40)), "{image}");
        act(&world, &json!({"action": "rollback", "source": "posts", "deleteFromR2": true}));
        assert!(objects(&world).is_empty());
    }
}

#[test]
fn a_host_that_may_be_asked_three_times_a_minute_keeps_no_slice_waiting() {
    let mut source = source();
    source["hosts"] = json!({"one.example.org": {"perSecond": 0.05}});
    // Sleeps of more than 10 seconds never end here.
    let world = world_with(&source, &[]);
    for id in ["a", "b", "c"] {
        post(&world, id, &format!("https://one.example.org/{id}.png"));
    }
    let begun_ms = world.runtime.now_ms();
    let run = migrate(&world);
    let run = if run["state"] == "running" { take_up(&world, "posts") } else { run };
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(3), &json!(0)), "{run}");
    assert!(world.runtime.now_ms() - begun_ms >= 40_000);
}

#[test]
fn photographs_are_asked_for_once() {
    let world = world();
    let jpeg = large_jpeg(3_900_000);
    for photo in 0..9 {
        let link = format!("https://{}.example.org/{photo}.jpg", photo % 5);
        insert(&world.sqlite, &format!("{photo:02}"), &link);
        let bytes = [&jpeg[..], link.as_bytes()].concat();
        let length = vec![("content-length".to_owned(), bytes.len().to_string())];
        let headers = if photo % 2 == 0 { length } else { Vec::new() };
        world.outside.pages.borrow_mut().insert(link, HttpResponse { headers, ..page(200, &bytes) });
    }
    let run = act(&world, &json!({"action": "migrate", "source": "posts", "concurrency": 16}));
    let run = if run["state"] == "running" { take_up(&world, "posts") } else { run };
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(9), &json!(0)), "{run}");
    assert_eq!(world.outside.asked().len(), 9);
}

#[test]
fn a_slow_host_has_no_link_of_another_fetched_again() {
    let world = world();
    for fast in 0..8 {
        post(&world, &format!("fast{fast}"), &format!("https://{fast}.example.org/a.png"));
    }
    insert(&world.sqlite, "slow", "https://slow.example.org/a.png");
    let runtime = Rc::clone(&world.runtime);
    *world.outside.server.borrow_mut() = Some(Rc::new(move |request| {
        let is_slow = request.url.contains("slow");
        is_slow.then(|| runtime.advance(30_000));
        is_slow.then_some(Err(HttpError::Timeout))
    }));
    let run = migrate(&world);
    let run = if run["state"] == "running" { take_up(&world, "posts") } else { run };
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(8), &json!(1)), "{run}");
    let asked = world.outside.asked();
    assert_eq!(asked.iter().filter(|url| !url.contains("slow")).count(), 8, "{asked:?}");
}

#[test]
fn links_of_others_are_fetched_while_a_slow_host_takes_its_time() {
    const SLOW_MS: i64 = 25_000;
    let mut source = source();
    source["hosts"] = json!({"*": {"concurrency": 16, "perSecond": 100}});
    let world = world_with(&source, &[]);
    post(&world, "a", "https://slow.example.org/a.png");
    for fast in 0..40 {
        post(&world, &format!("b{fast:02}"), &format!("https://fast.example.org/{fast}.png"));
    }
    let runtime = Rc::clone(&world.runtime);
    let due_ms = Cell::new(None);
    *world.outside.is_due.borrow_mut() = Some(Rc::new(move |request| {
        // Time passes while somebody waits.
        runtime.advance(10);
        if !request.url.contains("slow") {
            return true;
        }
        due_ms.set(due_ms.get().or(Some(runtime.now_ms() + SLOW_MS)));
        due_ms.get() <= Some(runtime.now_ms())
    }));
    let begun = act(&world, &json!({"action": "migrate", "source": "posts", "background": true, "batchSize": 10}));
    let run = if begun["state"] == "running" { take_up(&world, "posts") } else { begun };
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(41), &json!(0)), "{run}");
    assert_eq!(world.outside.asked().len(), 41);
    let slow_place = world.outside.asked().iter().position(|url| url.contains("slow"));
    assert_eq!(slow_place, Some(40), "the slow one ends last");
}
