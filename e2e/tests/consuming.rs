//! The example of `docs/consuming.md` works.

use e2e::System;
use e2e::user_table::UserTable;
use serde_json::json;
use testkit::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_users_is_correct_although_its_service_is_killed_again_and_again() {
    let system = System::start().await;
    let mut service = UserTable::start(&system);
    let group = system.authentik.create_group("engineers").await;
    for n in 0..30 {
        let pk = system.authentik.create_user(&format!("user-{n}")).await;
        system.authentik.add_to_group(&group, pk).await;
        match n % 3 {
            0 => system.authentik.delete_user(pk).await,
            1 => system.authentik.update_user(pk, json!({"name": format!("Renamed {n}")})).await,
            _ => {}
        }
        if n % 4 == 0 {
            service.process.restart().await;
        }
    }
    service.agrees_with(&system).await;

    // The service reads acknowledged events again after it has lost its table.
    service.process.kill().await;
    std::fs::remove_file(&service.file).unwrap();
    service.process.restart().await;
    service.agrees_with(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_keeps_only_the_key_of_an_erased_user() {
    let system = System::start().await;
    let service = UserTable::start(&system);
    let pk = system.authentik.create_user("mary").await;
    service.agrees_with(&system).await;
    system.authentik.delete_user(pk).await;
    service.agrees_with(&system).await;
    system.operate(&["forget", &pk.to_string()]).await;
    eventually("the table contains the receipt", || async {
        let table = service.content()?;
        let last = table["rows"][pk.to_string()]["sequence"].as_u64()?;
        let newest = table["rows"].as_object()?.values().all(|row| row["sequence"].as_u64() <= Some(last));
        (newest && !table.to_string().contains("mary")).then_some(())
    })
    .await;
}
