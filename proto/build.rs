//! Compiles `kwhy/v1/*.proto` with protox, so that no `protoc` is needed, and adds canonical protobuf JSON by pbjson.

use std::{env, error::Error, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "kwhy/v1/signal.proto",
        "kwhy/v1/finding.proto",
        "kwhy/v1/request.proto",
        "kwhy/v1/checkpoint.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    prost_build::Config::new()
        // A map in hash order would make equal findings differ in bytes.
        .btree_map(["."])
        .type_attribute(".kwhy.v1.ObjectRef", "#[derive(PartialOrd, Ord)]")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .skip_protoc_run()
        .file_descriptor_set_path(PathBuf::from(env::var("OUT_DIR")?).join("unused.bin"))
        .compile_fds(descriptors.clone())?;
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors.encode_to_vec())?
        .btree_map(["."])
        .build(&[".kwhy.v1"])?;
    Ok(())
}
