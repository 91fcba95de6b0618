//! Documents as sources might publish them, mistakes included.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) struct MadeUp {
    pub(crate) body: String,
    pub(crate) accepted: u64,
    /// Words inside elements that nobody knows and that must come out again.
    pub(crate) markers: Vec<String>,
}

static MARKER: AtomicU64 = AtomicU64::new(0);

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn id() -> impl Strategy<Value = String> {
    one_of(&[
        "id='t1'",
        "id='t1'",
        "id='t2'",
        "id='1 bad'",
        "",
        "id='p'",
        "id='t1' extra='x'",
        "id=''",
    ])
}

fn timestamp() -> impl Strategy<Value = String> {
    one_of(&[
        "",
        "",
        "2026-11-21T07:00:00Z",
        "2026-11-21t08:00:00+02:00",
        "2099-01-01T00:00:00Z",
        "yesterday",
        "2001-02-03T04:05:06",
    ])
    .prop_flat_map(|text| (Just(text), one_of(&["timestamp", "dm:timestamp"])))
    .prop_map(|(text, name)| {
        if text.is_empty() {
            text
        } else {
            format!("<{name}>{text}</{name}>")
        }
    })
}

fn notes() -> impl Strategy<Value = String> {
    prop::collection::vec(
        one_of(&[
            "<note>hi</note>",
            "<note xml:lang='fr'>salut</note>",
            "<note xml:lang='no_good'> hi </note>",
            "<dm:note>dm</dm:note>",
            "<note a='b'><x/>odd</note>",
        ]),
        0..3,
    )
    .prop_map(|all| all.concat())
}

/// An element of some other namespace with a name that nobody else uses.
fn marker() -> impl Strategy<Value = String> {
    Just(()).prop_map(|()| {
        let number = MARKER.fetch_add(1, Ordering::Relaxed);
        format!("<u:m{number} xml:id='inner'>marker{number}</u:m{number}>")
    })
}

const SERVICE_PARTS: &[&str] = &[
    "<dm:deviceID>urn:d:1</dm:deviceID>",
    "<dm:deviceID> urn:d:2 </dm:deviceID>",
    "<r:class>work</r:class>",
    "<r:class> home </r:class>",
    "<op:service-description><op:version>1</op:version><op:service-id>chat</op:service-id></op:service-description>",
    "<op:service-description><op:service-id>chat</op:service-id></op:service-description>",
    "<op:service-description op:x='1'><op:service-id>chat</op:service-id><op:version>1</op:version><op:description>d</op:description></op:service-description>",
    "<op:service-description><op:description>none</op:description></op:service-description>",
    "<op:willingness><op:basic>Open</op:basic></op:willingness>",
    "<op:willingness><op:basic>never</op:basic></op:willingness>",
    "<op:registration-state>active</op:registration-state>",
    "<op:barring-state>odd</op:barring-state>",
    "<r:user-input id='inner' last-input='2026-11-21T07:00:00Z'>idle</r:user-input>",
    "<r:user-input idle-threshold='-1'>ACTIVE</r:user-input>",
    "<r:relationship><r:self/><r:friend/></r:relationship>",
    "<r:service-class/>",
    "<r:privacy><r:video/><r:unknown/><r:audio/></r:privacy>",
    "<caps:servcaps><caps:video>TRUE</caps:video><caps:audio>true</caps:audio><caps:audio>false</caps:audio><caps:odd/></caps:servcaps>",
    "<caps:servcaps><caps:methods><caps:supported><caps:BYE/><caps:ACK/><u:x/></caps:supported></caps:methods><caps:priority><caps:supported><caps:lowerthan/></caps:supported></caps:priority></caps:servcaps>",
    "<ts:timed-status from='2026-11-21T07:00:00Z'><ts:basic>open</ts:basic></ts:timed-status>",
    "<ts:timed-status><ts:basic>open</ts:basic></ts:timed-status>",
    "<ts:timed-status from='2026-11-22T07:00:00Z' until='soon'><ts:note>n</ts:note><ts:basic>closed</ts:basic></ts:timed-status>",
    "<odd/>",
    "<bare xmlns=''>x</bare>",
    "<u:keep pidf:mustUnderstand='1'>same</u:keep>",
    "<u:keep>other</u:keep>",
    "text",
];

const PERSON_PARTS: &[&str] = &[
    "<r:activities from='2026-11-21T07:00:00Z'><r:away/><r:note>n</r:note></r:activities>",
    "<r:activities i:type='none'><r:odd/></r:activities>",
    "<r:mood xml:lang='!' u:x='1' xml:space='no'><r:sad xml:id='t1'/></r:mood>",
    "<r:activities id='inner'><r:busy>x</r:busy><r:unknown/><u:own/></r:activities>",
    "<r:activities><r:unknown/><r:unknown/></r:activities>",
    "<r:mood><r:note>fine</r:note></r:mood>",
    "<r:mood><r:happy/><r:other xml:lang='en'>so so</r:other></r:mood>",
    "<r:place-is><r:text><r:ok/></r:text><r:audio><r:loud/></r:audio></r:place-is>",
    "<r:place-type><lt:home/><lt:work/></r:place-type>",
    "<r:place-type><r:office/><lt:work/></r:place-type>",
    "<r:privacy><r:unknown/></r:privacy>",
    "<r:sphere>bowling</r:sphere>",
    "<r:sphere><r:work/>x</r:sphere>",
    "<r:status-icon until='2026-11-21T07:00:00Z'>http://a/b c</r:status-icon>",
    "<r:time-offset>+60</r:time-offset>",
    "<r:time-offset>far</r:time-offset>",
    "<r:class>work</r:class>",
    "<c:card>http://a/</c:card>",
    "<c:display-name xml:lang='en'> A B </c:display-name>",
    "<op:overriding-willingness><u:x/><op:basic>closed</op:basic></op:overriding-willingness>",
    "<dm:odd/>",
    "<u:keep><dm:person id='t1'/><r:mood/></u:keep>",
];

const DEVICE_PARTS: &[&str] = &[
    "<dm:deviceID>urn:d:1</dm:deviceID>",
    "<dm:deviceID>urn:d:1</dm:deviceID>",
    "<dm:deviceID>urn:d:2</dm:deviceID>",
    "<caps:devcaps><caps:mobility><caps:supported><caps:mobile/></caps:supported></caps:mobility><caps:description>d</caps:description></caps:devcaps>",
    "<op:network-availability><op:network id='IMS'><op:active/><op:terminated/></op:network><op:network/></op:network-availability>",
    "<op:network-availability/>",
    "<r:user-input>active</r:user-input>",
    "<r:class>work</r:class>",
];

fn parts(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(one_of(choices), 0..4).prop_map(|all| all.concat())
}

fn tuple() -> impl Strategy<Value = String> {
    let status = one_of(&[
        "<status><basic>open</basic></status>",
        "<status><basic>closed</basic></status>",
        "<status> <basic> OPEN </basic> </status>",
        "<status/>",
        "",
        "<status><u:s>x</u:s><basic>open</basic></status>",
        "<status><basic>maybe</basic><basic>open</basic></status><status/>",
    ]);
    let contact = one_of(&[
        "",
        "",
        "<contact>sip:a@x</contact>",
        "<contact priority='0.8'>sip:a@x</contact>",
        "<contact priority='0.80'> sip:a@x </contact>",
        "<contact priority='7'>sip:b c@x</contact>",
        "<contact/>",
        "<contact>sip:a@x</contact><contact>sip:b@x</contact>",
    ]);
    (
        id(),
        timestamp(),
        notes(),
        contact,
        parts(SERVICE_PARTS),
        marker(),
        status,
    )
        .prop_map(|(id, timestamp, notes, contact, parts, marker, status)| {
            format!("<tuple {id}>{timestamp}{notes}{contact}{parts}{marker}{status}</tuple>")
        })
}

fn source_part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => tuple(),
        2 => (id(), notes(), timestamp(), parts(PERSON_PARTS), marker())
            .prop_map(|(id, notes, timestamp, parts, marker)| format!("<dm:person {id}>{notes}{timestamp}{parts}{marker}</dm:person>")),
        2 => (id(), notes(), timestamp(), parts(DEVICE_PARTS)).prop_map(|(id, notes, timestamp, parts)| format!("<dm:device {id}>{notes}{timestamp}{parts}</dm:device>")),
        1 => notes(),
        1 => marker(),
        1 => one_of(&["<u:keep>root</u:keep>", "<odd/>", "<bare xmlns=''/>", "<!-- c -->", " ", "<r:activities><r:away/></r:activities>"]),
    ]
}

pub(crate) fn source() -> impl Strategy<Value = MadeUp> {
    let pidf = one_of(&[
        "urn:ietf:params:xml:ns:pidf",
        "urn:ietf:params:xml:ns:pidf",
        "urn:ietf:params:xml:ns:cpim-pidf",
    ]);
    let entity = one_of(&[
        "entity='sip:alice@example.com'",
        "entity='pres:bob@example.com'",
        "",
    ]);
    (pidf, entity, prop::collection::vec(source_part(), 0..5), 0..4u64).prop_map(|(pidf, entity, parts, accepted)| {
        let inner = parts.concat();
        let markers = inner.split("marker").skip(1).map(|after| format!("marker{}", after.split('<').next().unwrap())).collect();
        let body = format!(
            "<presence xmlns='{pidf}' xmlns:pidf='{pidf}' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' \
             xmlns:ts='urn:ietf:params:xml:ns:pidf:timed-status' xmlns:caps='urn:ietf:params:xml:ns:pidf:caps' \
             xmlns:op='urn:oma:xml:prs:pidf:oma-pres' xmlns:lt='urn:ietf:params:xml:ns:location-type' xmlns:u='urn:unknown' \
             xmlns:i='http://www.w3.org/2001/XMLSchema-instance' {entity}>{inner}</presence>"
        );
        // Around 07:30 of the day in the timestamps, ten seconds apart.
        MadeUp { body, accepted: 1_795_246_200_000 + accepted * 10_000, markers }
    })
}
