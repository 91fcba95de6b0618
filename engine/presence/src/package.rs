//! The event package of RFC 3856, filled in along RFC 6665 §5.4.

use documents::pidf;
use events::package::{BodyRefusal, Checked, Package};
use machine::Limits;
use xml::Bounds;

use crate::composition;

/// RFC 3856.
pub static PRESENCE: Package = Package {
    name: "presence",
    // §6.7. The type of the old drafts is not offered: its documents have another namespace, and whoever asks for it alone is answered 406.
    notify_types: &[pidf::MEDIA_TYPE],
    publish_types: &[pidf::MEDIA_TYPE, pidf::OLD_MEDIA_TYPE],
    check,
    compose: composition::compose,
    neutral: composition::neutral,
};

/// RFC 3903 §6 step 5: a type that this event has, and a body that is what it says.
fn check(content_type: &str, body: &[u8], limits: &Limits) -> Result<Checked, BodyRefusal> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !PRESENCE
        .publish_types
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
    {
        return Err(BodyRefusal {
            status: 415,
            reason: "presence is published as application/pidf+xml".to_owned(),
        });
    }
    let bounds = Bounds {
        depth_max: limits.xml_depth_max,
        nodes_max: limits.xml_nodes_max,
    };
    match pidf::parse(body, &bounds) {
        Ok(root) => Ok(Box::new(root)),
        Err(unreadable) => Err(BodyRefusal {
            status: 400,
            reason: unreadable.to_string(),
        }),
    }
}
