use super::{Form, Misfit, Read, read};
use serde_json::{Value, json};

struct Order {
    name: String,
    tags: Vec<String>,
}

impl Read for Order {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self { name: form.text("name")?, tags: form.texts("tags")? })
    }
}

#[test]
fn a_form_that_fits_is_read() {
    let order: Order = read(json!({ "name": "x", "tags": ["a"] })).expect("it fits");
    assert_eq!((order.name.as_str(), order.tags), ("x", vec!["a".to_owned()]));
}

#[test]
fn what_does_not_fit_is_named() {
    for (value, member, why) in [
        (json!({}), Some("name"), "`name` is missing"),
        (json!({ "name": 1 }), Some("name"), "`name` has to be a text"),
        (json!({ "name": "x", "tags": "a" }), Some("tags"), "`tags` has to be a list of texts"),
        (json!({ "name": "x", "tag": [] }), Some("tag"), "there is no `tag`"),
        (json!([]), None, "it is no object"),
        (Value::Null, None, "it is no object"),
    ] {
        let misfit = read::<Order>(value).err().expect("it does not fit");
        assert_eq!((misfit.member.as_deref(), misfit.why.as_str()), (member, why));
    }
}
