// h2, the HTTP/2 of tonic and hyper, with gRPC by hand: `client ADDRESS`; script.py says what it reads and prints.

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CANCELLED: i32 = 1;
const DEADLINE_EXCEEDED: i32 = 4;
const UNAVAILABLE: i32 = 14;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Default)]
struct Heard {
    messages: Vec<Bytes>,
    initial: HeaderMap,
    trailing: HeaderMap,
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|each| format!("{each:02x}")).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn to_base64(octets: &[u8]) -> String {
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, each| bits << 8 | *each as u32) << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize] as char);
        }
    }
    text
}

fn from_base64(text: &[u8]) -> Vec<u8> {
    let (mut octets, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for each in text.iter().filter_map(|each| ALPHABET.iter().position(|known| known == each)) {
        bits = bits << 6 | each as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    octets
}

fn from_percent(text: &[u8]) -> Vec<u8> {
    let (mut octets, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let escaped = text.get(at + 1..at + 3).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (text[at], escaped) {
            (b'%', Some(octet)) => {
                octets.push(octet);
                at += 3;
            }
            (octet, _) => {
                octets.push(octet);
                at += 1;
            }
        }
    }
    octets
}

fn pairs(from: &HeaderMap) -> String {
    let found: Vec<String> = from
        .iter()
        .map(|(key, value)| {
            let binary = key.as_str().ends_with("-bin");
            let value = if binary { from_base64(value.as_bytes()) } else { value.as_bytes().to_vec() };
            format!("[\"{key}\",\"{}\"]", hex(&value))
        })
        .collect();
    format!("[{}]", found.join(","))
}

async fn connect(address: &str) -> Result<SendRequest<Bytes>, Box<dyn std::error::Error>> {
    let socket = TcpStream::connect(address).await?;
    let (sender, connection) = h2::client::handshake(socket).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn line() -> Option<String> {
    tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        (std::io::stdin().read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_string())
    })
    .await
    .unwrap()
}

/// `Some` when it has itself cancelled the call.
async fn call(sender: SendRequest<Bytes>, words: &[&str], heard: &mut Heard) -> Result<Option<i32>, Box<dyn std::error::Error>> {
    let mut request = Request::post(format!("http://localhost{}", words[2]))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", words[3]));
    for pair in words[6].split(',').filter(|pair| *pair != "-") {
        let (key, value) = pair.split_once('=').unwrap();
        let value = octets(value);
        request = if key.ends_with("-bin") {
            request.header(key, to_base64(&value))
        } else {
            request.header(key, value.as_slice())
        };
    }
    let (response, mut sending) = sender.ready().await?.send_request(request.body(()).unwrap(), false)?;
    if words[5] == "begun" {
        sending.send_reset(h2::Reason::CANCEL);
        return Ok(Some(CANCELLED));
    }
    let mut buffered = BytesMut::new();
    let mut files: Vec<&str> = words[7].split(',').filter(|file| *file != "-").collect();
    let in_turn = if words[1] == "pingpong" { files.split_off(1) } else { Vec::new() };
    for file in &files {
        sending.send_data(framed(file), false)?;
    }
    let mut in_turn = in_turn.into_iter();
    if words[1] != "pingpong" {
        sending.send_data(Bytes::new(), true)?;
    }
    if words[5] == "told" {
        line().await;
        sending.send_reset(h2::Reason::CANCEL);
        return Ok(Some(CANCELLED));
    }
    let (parts, mut body) = response.await?.into_parts();
    heard.initial = parts.headers;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        buffered.extend_from_slice(&data);
        while buffered.len() >= 5 {
            let size = u32::from_be_bytes(buffered[1..5].try_into()?) as usize;
            if buffered.len() < 5 + size {
                break;
            }
            buffered.advance(5);
            heard.messages.push(buffered.split_to(size).freeze());
            if words[5] == "first" {
                sending.send_reset(h2::Reason::CANCEL);
                return Ok(Some(CANCELLED));
            }
            if words[1] == "pingpong" && heard.messages.len() <= words[7].split(',').count() {
                match in_turn.next() {
                    Some(file) => sending.send_data(framed(file), false)?,
                    None => sending.send_data(Bytes::new(), true)?,
                }
            }
        }
    }
    heard.trailing = body.trailers().await?.unwrap_or_else(|| heard.initial.clone());
    Ok(None)
}

fn framed(file: &str) -> Bytes {
    let message = std::fs::read(file).unwrap();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame.into()
}

async fn play(address: &str, sender: &mut Option<SendRequest<Bytes>>, words: &[&str]) -> String {
    let mut heard = Heard::default();
    let usable = match sender.take() {
        Some(old) => old.ready().await.ok(),
        None => None,
    };
    let connected = match usable {
        Some(usable) => Ok(usable),
        None => connect(address).await.map_err(|error| error.to_string()),
    };
    let (mut code, mut text) = (UNAVAILABLE, Vec::new());
    match connected {
        Err(error) => text = error.into_bytes(),
        Ok(connected) => {
            *sender = Some(connected.clone());
            match timeout(Duration::from_millis(words[3].parse().unwrap()), call(connected, words, &mut heard)).await {
                Err(_) => code = DEADLINE_EXCEEDED,
                Ok(Err(error)) => text = error.to_string().into_bytes(),
                Ok(Ok(Some(own))) => code = own,
                Ok(Ok(None)) => {
                    let said = |name| heard.trailing.get(name).map_or(&b""[..], |value: &http::HeaderValue| value.as_bytes());
                    code = std::str::from_utf8(said("grpc-status")).unwrap().parse().unwrap_or(-1);
                    text = from_percent(said("grpc-message"));
                }
            }
        }
    }
    let messages: Vec<String> = heard.messages.iter().map(|message| format!("\"{}\"", hex(message))).collect();
    let details = heard.trailing.get("grpc-status-details-bin").map_or(Vec::new(), |value| from_base64(value.as_bytes()));
    format!(
        "{{\"case\":\"{}\",\"code\":{code},\"text\":\"{}\",\"messages\":[{}],\"details\":\"{}\",\"initial\":{},\"trailing\":{}}}",
        words[0],
        hex(&text),
        messages.join(","),
        hex(&details),
        pairs(&heard.initial),
        pairs(&heard.trailing)
    )
}

fn main() {
    let lock = include_str!("Cargo.lock");
    let version = lock.split("name = \"h2\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?");
    println!("{{\"client\": \"h2 {version}\"}}");
    let address = std::env::args().nth(1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sender = None;
        while let Some(line) = line().await {
            let words: Vec<&str> = line.split(' ').collect();
            println!("{}", play(&address, &mut sender, &words).await);
        }
    });
}
