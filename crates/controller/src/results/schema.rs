//! The published schemas are those of the code.

use super::{Network, Report};

fn compare<T: schemars::JsonSchema>(name: &str) {
    let schema = schemars::schema_for!(T);
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let path = format!("{}/../../docs/schema/{name}", env!("CARGO_MANIFEST_DIR"));
    let published = fs_err::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "{path} is not the schema of the code, which is:\n{text}"
    );
}

#[test]
fn the_report_is_as_its_schema_says() {
    compare::<Report>("report.json");
}

#[test]
fn the_network_is_as_its_schema_says() {
    compare::<Network>("network.json");
}
