//! A14: what OAuth 1.0a signs is what others sign.

use std::collections::HashSet;

use host_harness::authorize::signature::{Signer, Stamp, base_string};
use host_harness::clock::SystemClock;
use host_harness::vault::Secret;
use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use super::canary_grants::address;
use crate::built;
use crate::draw::Draw;
use crate::figure::{exceptions, figure};
use crate::harness::{Harness, free_address};
use crate::http;
use crate::simulator::{Jira, text};

/// How many nonces are drawn.
const NONCES: usize = 1_000_000;

/// A base string that somebody published: method, address, parameters of the header, and the text.
type Published = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// RFC 5849, sections 3.4.1.1 and 3.4.1.2 (what stands in its body is given beside the header's), and OAuth Core 1.0,
/// appendix A.5.1.
const BASES: [Published; 4] = [
    (
        "POST",
        "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b",
        &[
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("c2", ""),
            ("a3", "2 q"),
        ],
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26\
         c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26\
         oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7",
    ),
    ("GET", "http://EXAMPLE.COM:80/r%20v/X?id=123", &[], "GET&http%3A%2F%2Fexample.com%2Fr%2520v%2FX&id%3D123"),
    ("GET", "https://www.example.net:8080/?q=1", &[], "GET&https%3A%2F%2Fwww.example.net%3A8080%2F&q%3D1"),
    (
        "GET",
        "http://photos.example.net/photos?file=vacation.jpg&size=original",
        &[
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "1191242096"),
            ("oauth_nonce", "kllo9940pd9333jh"),
            ("oauth_version", "1.0"),
        ],
        "GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg%26oauth_consumer_key%3Ddpf43f3p2l4k3l03%26\
         oauth_nonce%3Dkllo9940pd9333jh%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1191242096%26\
         oauth_token%3Dnnch734d00sl2jdk%26oauth_version%3D1.0%26size%3Doriginal",
    ),
];

/// The private key of OAuth's published test cases, section 9.3 (RSA-SHA1): everybody has it.
const PUBLISHED_KEY: [&str; 14] = [
    "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALRiMLAh9iimur8V",
    "A7qVvdqxevEuUkW4K+2KdMXmnQbG9Aa7k7eBjK1S+0LYmVjPKlJGNXHDGuy5Fw/d",
    "7rjVJ0BLB+ubPK8iA/Tw3hLQgXMRRGRXXCn8ikfuQfjUS1uZSatdLB81mydBETlJ",
    "hI6GH4twrbDJCR2Bwy/XWXgqgGRzAgMBAAECgYBYWVtleUzavkbrPjy0T5FMou8H",
    "X9u2AC2ry8vD/l7cqedtwMPp9k7TubgNFo+NGvKsl2ynyprOZR1xjQ7WgrgVB+mm",
    "uScOM/5HVceFuGRDhYTCObE+y1kxRloNYXnx3ei1zbeYLPCHdhxRYW7T0qcynNmw",
    "rn05/KO2RLjgQNalsQJBANeA3Q4Nugqy4QBUCEC09SqylT2K9FrrItqL2QKc9v0Z",
    "zO2uwllCbg0dwpVuYPYXYvikNHHg+aCWF+VXsb9rpPsCQQDWR9TT4ORdzoj+Nccn",
    "qkMsDmzt0EfNaAOwHOmVJ2RVBspPcxt5iN4HI7HNeG6U5YsFBb+/GZbgfBT3kpNG",
    "WPTpAkBI+gFhjfJvRw38n3g/+UeAkwMI2TJQS4n8+hid0uus3/zOjDySH3XHCUno",
    "cn1xOJAyZODBo47E+67R4jV1/gzbAkEAklJaspRPXP877NssM5nAZMU0/O/NGCZ+",
    "3jPgDUno6WbJn5cqm8MqWhW1xGkImgRk+fkDBquiq4gPiT898jusgQJAd5Zrr6Q8",
    "AO/0isr/3aa6O6NLQxISLKcPDk2NOccAfS/xOtfOz4sJYzM3Bs4Io9+dZGSDCA54",
    "Lw03eHTNQghS0A==",
];
const PUBLISHED_SIGNATURE: &str = "jvTp/wX1TYtByB1m+Pbyo0lnCOLIsyGCH7wke8AUs3BpnwZJtAuEJkvQL2/9n4s5wUmUl4aCI4BwpraNx4RtEXMe5qg5T1LVTGliMRpKasKsW//e+RinhejgCuzoH26dyF8iY2ZZ/5D1ilgeijhV/vBka5twt399mXwaYdCwFYE=";

/// The signature that our host makes for the request of the published test case.
fn published_signature() -> Option<String> {
    let lines = PUBLISHED_KEY.join("\n");
    let pem = format!("-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n", kind = "PRIVATE KEY");
    let signer = Signer::new("dpf43f3p2l4k3l03", &Secret::new(pem)).ok()?;
    let stamp = Stamp { nonce: "13917289812797014437".to_owned(), timestamp: 1_196_666_512 };
    let uri = "http://photos.example.net/photos?file=vacaction.jpg&size=original".parse().ok()?;
    let (method, clock) = ("GET".parse().ok()?, SystemClock::shared());
    let header = signer.authorization(&method, &uri, &[], &stamp, &clock).ok()?;
    let (_, rest) = header.expose().split_once("oauth_signature=\"")?;
    let query = format!("s={}", rest.split('"').next()?);
    Some(url::form_urlencoded::parse(query.as_bytes()).next()?.1.into_owned())
}

/// A Data Center that knows a host by an application link, and a connection through it.
fn linked() -> (Jira, Harness) {
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "8.4.0".parse().expect("a release"),
        context_path: "/jira".to_owned(),
        ..Config::default()
    });
    jira.settings(&json!({"consent": "auto", "consent_account": "admin"}));
    let host = Harness::new();
    let connector = built::connector().display().to_string();
    let callback = format!("http://{}/callback", free_address());
    let arguments = ["oauth-client", "add", "link", "--connector", &connector, "--method", "application-link"];
    let made = host.run(&[&arguments[..], &["--callback", &callback]].concat()).expect(0);
    let link = json!({"consumer_key": made["form"]["consumer-key"], "public_key": made["public-key"]});
    jira.control("POST", "/links", &link);
    let site = format!("site={}", jira.url());
    let arguments = ["connection", "add", "demo", "--connector", &connector, "--method", "application-link"];
    let (command, told) = host.start_telling(&[&arguments[..], &["--set", &site, "--allow-private"]].concat());
    http::browse(&address(&told));
    command.finish().expect(0);
    (jira, host)
}

/// Parameters whose names and values are encoded in odd ways, some of them twice, as the queries of a card.
fn odd_queries() -> Vec<Value> {
    let mut draw = Draw(5849);
    let letters: Vec<char> = "abAB01 +%&=/?#'\"!*()~-._;:@,äß中🔑".chars().collect();
    let mut odd = |most: u64| -> String {
        (0..draw.below(most)).map(|_| letters[draw.below(letters.len() as u64) as usize]).collect()
    };
    let drawn: Vec<Value> = (0..18)
        .map(|_| (0..5).map(|number| (format!("{number}{}", odd(5)), json!(odd(12)))).collect())
        .map(Value::Object)
        .collect();
    let known = [
        json!({"expand": "groups,applicationRoles"}),
        json!({"a": ["1", "2", "0", "10"]}),
        json!({"a b": "c d", "a+b": "c+d"}),
        json!({"empty": "", "also": ""}),
        json!({"~-._": "!*'()", "oauth": "1"}),
        json!({"ä": "🔑", "中": "%C3%A4"}),
    ];
    known.into_iter().chain(drawn).collect()
}

#[test]
fn a14_what_is_signed_is_what_others_sign() {
    let mut wrong = Vec::new();
    for (method, url, parameters, expected) in BASES {
        let base = base_string(&method.parse().expect("a method"), &url.parse().expect("a URI"), parameters);
        wrong.extend((base.ok().as_deref() != Some(expected)).then(|| format!("base string of {url}")));
    }
    let published = published_signature();
    wrong.extend(
        Some(format!("published: {published:?}")).filter(|_| published.as_deref() != Some(PUBLISHED_SIGNATURE)),
    );

    let (jira, host) = linked();
    jira.forget_wire();
    let queries = odd_queries();
    for query in &queries {
        let input = json!({"path": "myself", "query": query}).to_string();
        let asked = host.run(&["run", "call-api", "--connection", "demo", "--input", &input]);
        wrong.extend((asked.code != 0).then(|| format!("{query}: {} {}", asked.code, asked.stdout)));
    }
    let arrived = jira.calls("GET", "/myself");
    let accepted = arrived.iter().filter(|call| call["status"] == 200).count();

    let clock = SystemClock::shared();
    let nonces: HashSet<String> = (0..NONCES).map(|_| Stamp::now(&clock).nonce).collect();
    let reused = NONCES - nonces.len();
    let cases = BASES.len() + 1 + queries.len();
    figure(
        "A14",
        "vectors of RFC 5849 and OAuth Core; the published RSA-SHA1 signature; calls with odd and repeated parameters that the simulated Jira checks by an implementation of its own (oauthlib judges 50 more: --hosts)",
        "the same signature: 100 % of ≥ 25; nonces reused: 0 of 10⁶",
        format!(
            "{} of {cases} the same, {accepted} of {} calls accepted; {reused} of {NONCES} nonces reused{}",
            cases - wrong.len().min(cases),
            queries.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && accepted == queries.len() && reused == 0 && cases >= 25,
    );
    assert!(text(&arrived[0]["path"]).contains("/jira/rest/api/2/myself"), "{arrived:?}");
}
