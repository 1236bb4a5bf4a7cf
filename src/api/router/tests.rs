//! Which paths lead where.

use super::*;
use crate::api::{Caller, Principal};
use crate::image::UserId;

const API: &str = include_str!("../../../docs/API.md");
const IMAGE_ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const RUN_ID: &str = "0f8fad5bd9cb469fa16570867728950e";

fn found(method: Method, path: &str) -> Result<&'static str, Code> {
    Target::parse(method, path).map(|target| target.route.name).map_err(|problem| problem.code)
}

#[test]
fn a_path_is_answered_at_its_methods_only() {
    let image = format!("/api/images/{IMAGE_ID}");
    for (path, allowed, routes) in [
        ("/api/generate-image", "POST, OPTIONS", vec![(Method::Post, "generate-image")]),
        (
            "/api/images",
            "GET, HEAD, POST, DELETE, OPTIONS",
            vec![
                (Method::Post, "upload-image"),
                (Method::Get, "list-images"),
                (Method::Head, "list-images"),
                (Method::Delete, "delete-image-by-key"),
            ],
        ),
        (
            &image,
            "GET, HEAD, DELETE, OPTIONS",
            vec![(Method::Get, "describe-image"), (Method::Head, "describe-image"), (Method::Delete, "delete-image")],
        ),
        (&format!("{image}/signed-url"), "POST, OPTIONS", vec![(Method::Post, "sign-image-url")]),
        (
            &format!("/images/{IMAGE_ID}"),
            "GET, HEAD, OPTIONS",
            vec![(Method::Get, "serve-image"), (Method::Head, "serve-image")],
        ),
    ] {
        assert_eq!(Route::allowed_methods(path).as_deref(), Some(allowed), "{path}");
        for method in Method::KNOWN.into_iter().chain([Method::Other]) {
            let expected = routes.iter().find(|(known, _)| *known == method).map(|(_, name)| *name);
            assert_eq!(found(method, path), expected.ok_or(Code::MethodNotAllowed), "{method:?} {path}");
        }
        let refused = Target::parse(Method::Other, path).err().unwrap();
        assert!(refused.headers.iter().any(|(name, value)| *name == "Allow" && *value == allowed));
    }
}

#[test]
fn other_paths_are_not_found() {
    for (path, code) in [
        ("", Code::RouteNotFound),
        ("//", Code::RouteNotFound),
        ("/api", Code::RouteNotFound),
        ("/docs/", Code::RouteNotFound),
        ("/images", Code::RouteNotFound),
        ("/health/", Code::RouteNotFound),
        ("//health", Code::RouteNotFound),
        ("/api/migrate-images/runs", Code::RouteNotFound),
        ("/api/images/", Code::ImageNotFound),
        ("/api/images/x", Code::ImageNotFound),
        ("/images/", Code::ImageNotFound),
        ("/images/%ff", Code::ImageNotFound),
        (&format!("/images/{}", "x".repeat(1_025)), Code::ImageNotFound),
        (&format!("/api/images/{IMAGE_ID}/signed-url/"), Code::ImageNotFound),
        ("/api/migrate-images/runs/", Code::RunNotFound),
        (&format!("/api/migrate-images/runs/{RUN_ID}/x"), Code::RunNotFound),
        (&format!("/api/migrate-images/runs/{IMAGE_ID}"), Code::RunNotFound),
        ("/shoots/", Code::ShootNotFound),
        ("/shoots/x/assets", Code::ShootNotFound),
        (&format!("/shoots/{RUN_ID}"), Code::ShootNotFound),
        ("/jobs/", Code::JobNotFound),
        ("/batches/", Code::BatchNotFound),
    ] {
        for method in [Method::Get, Method::Post] {
            assert_eq!(found(method, path), Err(code), "{path}");
        }
        assert_eq!(Route::allowed_methods(path), None, "{path}");
    }
}

#[test]
fn the_name_of_an_image_may_have_slashes() {
    for path in [format!("/images/{IMAGE_ID}/x"), "/images/a/b%20c.png".to_owned(), "/images//".to_owned()] {
        let target = Target::parse(Method::Get, &path).unwrap();
        assert_eq!((target.route.name, target.signed_image()), ("serve-image", None));
        assert_eq!(target.id().as_deref(), path.strip_prefix("/images/"));
    }
    for (method, path) in [(Method::Get, "/images/x/description"), (Method::Post, "/images/x/describe")] {
        let problem = Target::parse(method, path).map(|target| target.route.name).unwrap_err();
        assert_eq!(problem.code, Code::ImageNotFound, "{path}");
    }
}

#[test]
fn only_the_route_of_an_images_bytes_takes_signed_urls() {
    for route in ROUTES {
        let target = Target::parse(route.method, &route.sample_path()).unwrap();
        let expected = (route.name == "serve-image").then(|| IMAGE_ID.parse().unwrap());
        assert_eq!(target.signed_image(), expected, "{}", route.name);
    }
}

#[test]
fn users_reach_the_routes_about_images_and_the_open_ones() {
    let user = UserId::try_from("auth0|made-up".to_owned()).unwrap();
    let caller = Caller::known(Principal::User(user));
    let closed: Vec<_> =
        ROUTES.iter().filter(|route| caller.require(route.access).is_err()).map(|route| route.name).collect();
    assert_eq!(
        closed,
        [
            "migration-status",
            "migrate-images",
            "describe-run",
            "run-items",
            "run-receipt",
            "reconcile",
            "usage",
            "metrics"
        ]
    );
}

#[test]
fn every_route_is_found_and_the_names_and_paths_differ() {
    for route in ROUTES {
        assert_eq!(found(route.method, &route.sample_path()), Ok(route.name));
        let same =
            |other: &&Route| other.name == route.name || (other.method, other.path) == (route.method, route.path);
        assert_eq!(ROUTES.iter().filter(same).count(), 1, "{}", route.name);
    }
}

#[test]
fn the_documented_routes_are_those_of_the_table() {
    let mut documented = Vec::new();
    for heading in API.lines().filter_map(|line| line.strip_prefix("### ")) {
        let is_closed = heading.ends_with(" (token)");
        for route in heading.split('`').filter(|part| part.contains(" /")) {
            documented.push((route.to_owned(), is_closed));
        }
    }
    let mut expected: Vec<_> = ROUTES
        .iter()
        .map(|route| (format!("{} {}", route.method.as_str(), route.path), route.access.is_closed()))
        .collect();
    documented.sort();
    expected.sort();
    assert_eq!(documented, expected);
}
