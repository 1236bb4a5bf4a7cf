//! Which handler a request is for. Parsing is total: every method and path is a route or a problem.

use super::problem::{Code, Problem};
use super::request::Method;
use crate::image::ImageId;
use crate::migrate::RunId;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Route {
    /// `POST /api/generate-image`
    GenerateImage,
    /// `POST /api/images`
    UploadImage,
    /// `GET /api/images`
    ListImages,
    /// `GET /api/images/{id}`
    DescribeImage(ImageId),
    /// `DELETE /api/images/{id}`
    DeleteImage(ImageId),
    /// `POST /api/images/{id}/signed-url`
    SignImageUrl(ImageId),
    /// `GET /images/{id}`
    ServeImage(ImageId),
    /// `GET /api/migrate-images`
    MigrationStatus,
    /// `POST /api/migrate-images`
    MigrateImages,
    /// `GET /api/migrate-images/runs/{id}`
    DescribeRun(RunId),
    /// `GET /api/migrate-images/runs/{id}/items`
    RunItems(RunId),
    /// `GET /api/migrate-images/runs/{id}/receipt`
    RunReceipt(RunId),
    /// `GET /health`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `GET /openapi.json`
    OpenApi,
    /// `GET /`
    Index,
    /// `GET /docs`
    Docs,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; the handler itself guards private images.
    Public,
    /// Holders of the API token.
    Token,
}

/// A path that exists, before its method is known.
enum Resource {
    GenerateImage,
    Images,
    Image(ImageId),
    SignedUrl(ImageId),
    ImageBytes(ImageId),
    MigrateImages,
    Run(RunId),
    RunItems(RunId),
    RunReceipt(RunId),
    Health,
    Metrics,
    OpenApi,
    Index,
    Docs,
}

impl Resource {
    fn parse(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let parts = [(); 5].map(|()| segments.next());
        Some(match parts {
            [Some("api"), Some("generate-image"), None, ..] => Self::GenerateImage,
            [Some("api"), Some("migrate-images"), None, ..] => Self::MigrateImages,
            [Some("api"), Some("migrate-images"), Some("runs"), Some(id), None] => Self::Run(id.parse().ok()?),
            [Some("api"), Some("migrate-images"), Some("runs"), Some(id), Some("items")]
                if segments.next().is_none() =>
            {
                Self::RunItems(id.parse().ok()?)
            }
            [Some("api"), Some("migrate-images"), Some("runs"), Some(id), Some("receipt")]
                if segments.next().is_none() =>
            {
                Self::RunReceipt(id.parse().ok()?)
            }
            [Some("api"), Some("images"), None, ..] => Self::Images,
            [Some("api"), Some("images"), Some(id), None, ..] => Self::Image(id.parse().ok()?),
            [Some("api"), Some("images"), Some(id), Some("signed-url"), None] => Self::SignedUrl(id.parse().ok()?),
            [Some("images"), Some(id), None, ..] => Self::ImageBytes(id.parse().ok()?),
            [Some("health"), None, ..] => Self::Health,
            [Some("metrics"), None, ..] => Self::Metrics,
            [Some("openapi.json"), None, ..] => Self::OpenApi,
            [Some(""), None, ..] => Self::Index,
            [Some("docs"), None, ..] => Self::Docs,
            _ => return None,
        })
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::GenerateImage | Self::SignedUrl(_) => "POST, OPTIONS",
            Self::Images | Self::MigrateImages => "GET, HEAD, POST, OPTIONS",
            Self::Image(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::ImageBytes(_)
            | Self::Run(_)
            | Self::RunItems(_)
            | Self::RunReceipt(_)
            | Self::Health
            | Self::Metrics
            | Self::OpenApi
            | Self::Index
            | Self::Docs => "GET, HEAD, OPTIONS",
        }
    }
}

impl Route {
    /// The route of `method` and `path`; a HEAD is routed as the GET that it mirrors.
    ///
    /// # Errors
    /// 404 for an unknown path, 404 `image-not-found` for a path whose id is not one, 405 with `Allow` for an unknown method.
    pub fn parse(method: Method, path: &str) -> Result<Self, Problem> {
        let Some(resource) = Resource::parse(path) else {
            let names_an_image = path.starts_with("/images/") || path.starts_with("/api/images/");
            let names_a_run = path.starts_with("/api/migrate-images/runs/");
            return Err(Problem::plain(match (names_an_image, names_a_run) {
                (true, _) => Code::ImageNotFound,
                (_, true) => Code::RunNotFound,
                _ => Code::RouteNotFound,
            }));
        };
        let reads = matches!(method, Method::Get | Method::Head);
        match (&resource, method) {
            (Resource::GenerateImage, Method::Post) => Ok(Self::GenerateImage),
            (Resource::Images, Method::Post) => Ok(Self::UploadImage),
            (Resource::Images, _) if reads => Ok(Self::ListImages),
            (Resource::Image(id), _) if reads => Ok(Self::DescribeImage(*id)),
            (Resource::Image(id), Method::Delete) => Ok(Self::DeleteImage(*id)),
            (Resource::SignedUrl(id), Method::Post) => Ok(Self::SignImageUrl(*id)),
            (Resource::ImageBytes(id), _) if reads => Ok(Self::ServeImage(*id)),
            (Resource::MigrateImages, Method::Post) => Ok(Self::MigrateImages),
            (Resource::MigrateImages, _) if reads => Ok(Self::MigrationStatus),
            (Resource::Run(id), _) if reads => Ok(Self::DescribeRun(id.clone())),
            (Resource::RunItems(id), _) if reads => Ok(Self::RunItems(id.clone())),
            (Resource::RunReceipt(id), _) if reads => Ok(Self::RunReceipt(id.clone())),
            (Resource::Health, _) if reads => Ok(Self::Health),
            (Resource::Metrics, _) if reads => Ok(Self::Metrics),
            (Resource::OpenApi, _) if reads => Ok(Self::OpenApi),
            (Resource::Index, _) if reads => Ok(Self::Index),
            (Resource::Docs, _) if reads => Ok(Self::Docs),
            _ => Err(Problem::plain(Code::MethodNotAllowed).with_header("Allow", resource.methods())),
        }
    }

    /// The methods of `path`, for a preflight; `None` when there is no such path.
    #[must_use]
    pub fn allowed_methods(path: &str) -> Option<&'static str> {
        Resource::parse(path).map(|resource| resource.methods())
    }

    /// Who may use it.
    #[must_use]
    pub const fn access(&self) -> Access {
        match self {
            Self::ServeImage(_) | Self::Health | Self::OpenApi | Self::Index | Self::Docs => Access::Public,
            Self::GenerateImage
            | Self::UploadImage
            | Self::ListImages
            | Self::DescribeImage(_)
            | Self::DeleteImage(_)
            | Self::SignImageUrl(_)
            | Self::MigrationStatus
            | Self::MigrateImages
            | Self::DescribeRun(_)
            | Self::RunItems(_)
            | Self::RunReceipt(_)
            | Self::Metrics => Access::Token,
        }
    }

    /// Its name for logs, without ids.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GenerateImage => "generate-image",
            Self::UploadImage => "upload-image",
            Self::ListImages => "list-images",
            Self::DescribeImage(_) => "describe-image",
            Self::DeleteImage(_) => "delete-image",
            Self::SignImageUrl(_) => "sign-image-url",
            Self::ServeImage(_) => "serve-image",
            Self::MigrationStatus => "migration-status",
            Self::MigrateImages => "migrate-images",
            Self::DescribeRun(_) => "describe-run",
            Self::RunItems(_) => "run-items",
            Self::RunReceipt(_) => "run-receipt",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::Index => "index",
            Self::Docs => "docs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn every_route_is_found_by_its_methods_only() {
        let id: ImageId = ID.parse().unwrap();
        let methods =
            [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Other];
        for (path, routes) in [
            ("/api/generate-image".to_owned(), vec![(Method::Post, Route::GenerateImage)]),
            (
                "/api/images".to_owned(),
                vec![
                    (Method::Post, Route::UploadImage),
                    (Method::Get, Route::ListImages),
                    (Method::Head, Route::ListImages),
                ],
            ),
            (
                format!("/api/images/{ID}"),
                vec![
                    (Method::Get, Route::DescribeImage(id)),
                    (Method::Head, Route::DescribeImage(id)),
                    (Method::Delete, Route::DeleteImage(id)),
                ],
            ),
            (format!("/api/images/{ID}/signed-url"), vec![(Method::Post, Route::SignImageUrl(id))]),
            (
                format!("/images/{ID}"),
                vec![(Method::Get, Route::ServeImage(id)), (Method::Head, Route::ServeImage(id))],
            ),
        ] {
            for method in methods {
                let expected = routes.iter().find(|(allowed, _)| *allowed == method).map(|(_, route)| route.clone());
                let parsed = Route::parse(method, &path);
                assert_eq!(parsed.as_ref().ok().cloned(), expected, "{method:?} {path}");
                if let Err(problem) = parsed {
                    assert_eq!(problem.code, Code::MethodNotAllowed);
                    assert!(problem.headers.iter().any(|(name, _)| *name == "Allow"));
                }
            }
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in
            ["", "//", "/api", "/docs/", "/api/images/", "/api/images/x", "/images", "/images/", "/health/", "//health"]
        {
            assert_eq!(Route::parse(Method::Get, path).unwrap_err().code.status(), 404, "{path}");
        }
        assert_eq!(Route::parse(Method::Get, &format!("/images/{ID}/x")).unwrap_err().code.status(), 404);
        assert_eq!(
            Route::parse(Method::Get, &format!("/images/{}", ID.to_uppercase())).unwrap_err().code.status(),
            404
        );
    }
}
