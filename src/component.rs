//! glue
wit_bindgen::generate!({ path: "wit", world: "connector" });
