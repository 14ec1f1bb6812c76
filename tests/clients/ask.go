// The default client of Go: a body of known length, a stream, and an error.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const body = `{"instances": [{"x": 1}]}`

func ask(path string, content io.Reader) {
	answer, err := http.Post(os.Args[1]+path, "application/json", content)
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println(answer.StatusCode, strings.TrimSpace(string(text)))
}

func main() {
	ask("/v1/models/adder:predict", strings.NewReader(body))
	ask("/v1/models/adder:predict", struct{ io.Reader }{strings.NewReader(body)}) // of unknown length: sent in chunks
	ask("/v1/models/missing:predict", strings.NewReader(body))
}
