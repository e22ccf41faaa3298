//! RSA signatures by Web Crypto.

use async_trait::async_trait;
use worker::js_sys::{self, Array, Function, Object, Promise, Reflect, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;

use crate::port::signer::{SignError, Signer};

pub(super) struct EdgeSigner;

#[async_trait]
impl Signer for EdgeSigner {
    async fn rs256(&self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
        SendFuture::new(signature(key, message)).await
    }
}

async fn signature(key: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
    let (subtle, algorithm) = prepared().map_err(|_| SignError::Failed)?;
    let uses = Array::new();
    uses.push(&"sign".into());
    let import = [
        "pkcs8".into(),
        Uint8Array::from(key).into(),
        algorithm.clone(),
        false.into(),
        uses.into(),
    ];
    let key = call(&subtle, "importKey", &import)
        .await
        .map_err(|_| SignError::Key)?;
    let sign = [algorithm, key, Uint8Array::from(message).into()];
    let signature = call(&subtle, "sign", &sign)
        .await
        .map_err(|_| SignError::Failed)?;
    Ok(Uint8Array::new(&signature).to_vec())
}

/// `crypto.subtle`, and the algorithm's name in it.
fn prepared() -> Result<(JsValue, JsValue), JsValue> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into())?;
    let subtle = Reflect::get(&crypto, &"subtle".into())?;
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"RSASSA-PKCS1-v1_5".into())?;
    Reflect::set(&algorithm, &"hash".into(), &"SHA-256".into())?;
    Ok((subtle, algorithm.into()))
}

/// Calls a method that returns a promise.
async fn call(target: &JsValue, name: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let method: Function = Reflect::get(target, &name.into())?.dyn_into()?;
    let list = Array::new();
    for argument in arguments {
        list.push(argument);
    }
    let promise: Promise = method.apply(target, &list)?.dyn_into()?;
    JsFuture::from(promise).await
}
