//! reqwest with its defaults: a body of known length, a stream, and an error.
use reqwest::blocking::{Body, Client};

const BODY: &str = r#"{"instances": [{"x": 1}]}"#;

fn ask(client: &Client, url: String, content: Body) {
    let request = client.post(url).header("content-type", "application/json").body(content);
    match request.send() {
        Ok(answer) => println!("{} {}", answer.status().as_u16(), answer.text().unwrap_or_default().trim()),
        Err(error) => println!("failed: {error}"),
    }
}

fn main() {
    let url = std::env::args().nth(1).expect("the platform's URL");
    let client = Client::new();
    ask(&client, format!("{url}/v1/models/adder:predict"), Body::from(BODY));
    ask(&client, format!("{url}/v1/models/adder:predict"), Body::new(BODY.as_bytes()));
    ask(&client, format!("{url}/v1/models/missing:predict"), Body::from(BODY));
}
