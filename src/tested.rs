//! Parts used by the integration tests and the fuzz targets.

use http::{HeaderMap, HeaderValue, header};

pub use crate::account::allowed::{Allowed, Parameter, allowed_headers, allowed_query};
pub use crate::config::Secrets;
pub use crate::convert::{chat_to_messages, messages_to_gemini, messages_to_responses};
pub use crate::dialect::answer::Rewrite;
pub use crate::dialect::body::tools::HostedTools;
pub use crate::dialect::body::{Edit, Field, Malformed, beginning, elements, mended, patch, scan};
pub use crate::dialect::call::{Endpoint, Surface};
pub use crate::dialect::meter::{Measurement, Meter};
pub use crate::dialect::origin::referred_to;
pub use crate::model::address::Network;
pub use crate::model::calendar::Day;
pub use crate::model::name::{ModelName, canonical, same, spellings};
pub use crate::model::secret::Secret;
pub use crate::port::random::Random;
pub use crate::secrets::Keyring;

use crate::dialect::gemini::envelope::{Into, rewriter};
use crate::dialect::{Dialect, gemini, messages, openai};

/// A meter for answers of this endpoint, events or JSON. `None` if its calls have no usage.
pub fn meter(endpoint: Endpoint, streams: bool) -> Option<Meter> {
    let dialect: &dyn Dialect = match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => &messages::Messages,
        Endpoint::Generate(_) | Endpoint::CountContent(_) | Endpoint::Assist(_) => &gemini::Gemini,
        _ => &openai::OpenAi,
    };
    let kind = if streams {
        "text/event-stream"
    } else {
        "application/json"
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    dialect.meter(endpoint, streams, &headers)
}

/// Adds or removes Code Assist's envelope around Google's answers.
pub fn envelope(wrap: bool, streams: bool) -> Box<dyn Rewrite> {
    rewriter(if wrap { Into::Envelope } else { Into::Plain }, streams)
}
