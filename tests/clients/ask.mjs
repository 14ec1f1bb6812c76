// The fetch of Node: a body of known length, a stream, and an error.
const body = '{"instances": [{"x": 1}]}';

async function ask(path, content) {
  const answer = await fetch(process.argv[2] + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: content,
    duplex: "half",
  });
  console.log(answer.status, (await answer.text()).trim());
}

await ask("/v1/models/adder:predict", body);
await ask("/v1/models/adder:predict", new Blob([body]).stream());
await ask("/v1/models/missing:predict", body);
