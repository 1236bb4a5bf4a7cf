//! Whose presigned uploads are.

use stillstore::catalog::{Collection, CollectionKind, CollectionState, OwnerFilter, Upload};
use stillstore::image::{Format, ShootId, UserId};
use stillstore::upload::{Claims, ConfirmError, GrantError, NewUpload, confirm, grant};

use super::world::{PNG, World};
use crate::runtime::block_on;

fn user(name: &str) -> UserId {
    UserId::try_from(name.to_owned()).unwrap()
}

fn shoot_of(world: &World, owner: Option<UserId>, state: CollectionState) -> ShootId {
    let id = ShootId::from_random_bytes([7; 16]);
    let now = world.app.services.runtime.now();
    let shoot = Collection {
        id: id.collection(),
        kind: CollectionKind::Shoot,
        state,
        owner_id: owner,
        name: Some("Garden".to_owned()),
        created_at: now,
        updated_at: now,
        leaving: 0,
    };
    assert!(block_on(world.app.services.catalog.create_collection(&shoot)).unwrap());
    id
}

fn new_upload(shoot_id: ShootId, owner_id: Option<UserId>) -> NewUpload {
    NewUpload {
        shoot_id,
        owner_id,
        filename: "cat.png".to_owned(),
        format: Format::Png,
        size_bytes: None,
        sha256: None,
        limit_bytes: 1_000,
    }
}

fn claims_of(upload: &Upload) -> Claims {
    Claims {
        asset_id: upload.asset_id,
        shoot_id: upload.shoot_id,
        key: upload.key.clone(),
        filename: None,
        format: None,
        size_bytes: None,
        sha256: None,
    }
}

#[test]
fn a_user_uploads_to_a_shoot_of_their_own_alone() {
    let world = World::new(true);
    let library = world.app.services.library("test");
    let shoot_id = shoot_of(&world, Some(user("jane")), CollectionState::Open);
    let refused = block_on(grant(&library, new_upload(shoot_id, Some(user("joe")))));
    assert!(matches!(refused, Err(GrantError::NoShoot)), "{refused:?}");

    let upload = block_on(grant(&library, new_upload(shoot_id, Some(user("jane"))))).unwrap();
    assert!(upload.key.as_str().starts_with("jane/"));
    world.put_foreign_object(upload.key.as_str(), PNG);
    let claims = claims_of(&upload);
    let confirm = |name: &str| block_on(confirm(&library, &claims, &OwnerFilter::Only(user(name))));
    assert!(matches!(confirm("joe"), Err(ConfirmError::NotFound)));
    assert_eq!(confirm("jane").unwrap().description.owner_id, Some(user("jane")));
    assert!(matches!(confirm("joe"), Err(ConfirmError::NotFound)));
}

#[test]
fn what_the_operator_adds_to_a_users_shoot_is_that_users() {
    let world = World::new(true);
    let library = world.app.services.library("test");
    let shoot_id = shoot_of(&world, Some(user("jane")), CollectionState::Open);
    let upload = block_on(grant(&library, new_upload(shoot_id, None))).unwrap();
    world.put_foreign_object(upload.key.as_str(), PNG);
    let claims = claims_of(&upload);
    let record = block_on(confirm(&library, &claims, &OwnerFilter::Any)).unwrap();
    assert_eq!(record.description.owner_id, Some(user("jane")));
}

#[test]
fn a_shoot_that_is_being_deleted_takes_no_assets() {
    let world = World::new(true);
    let library = world.app.services.library("test");
    let shoot_id = shoot_of(&world, None, CollectionState::Open);
    let upload = block_on(grant(&library, new_upload(shoot_id, None))).unwrap();
    world.put_foreign_object(upload.key.as_str(), PNG);
    world.rows("UPDATE stillstore_collections SET state = 'deleting'");
    let refused = block_on(grant(&library, new_upload(shoot_id, None)));
    assert!(matches!(refused, Err(GrantError::NoShoot)), "{refused:?}");
    let claims = claims_of(&upload);
    let confirmed = block_on(confirm(&library, &claims, &OwnerFilter::Any));
    assert!(matches!(confirmed, Err(ConfirmError::NoShoot)), "{confirmed:?}");
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
}
