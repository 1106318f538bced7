// Publishes one JSON value, and prints the answer of the broker. Needs only the standard library.
//
//	go run publish.go <topic> <json> [key]
//
// FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Waits and repeats for at most this time.
const giveUpAfter = time.Minute

var client = &http.Client{Timeout: 10 * time.Second}

// The answer of the broker: the position of the publication, or a problem.
type answer struct {
	Topic     string `json:"topic"`
	Epoch     string `json:"epoch"`
	Offset    int64  `json:"offset"`
	MessageID string `json:"messageId"`
	Duplicate bool   `json:"duplicate"`
	Detail    string `json:"detail,omitempty"`
}

func publish(topic, data, key string) (answer, error) {
	giveUpAt := time.Now().Add(giveUpAfter)
	for attempt := 0; ; attempt++ {
		result, wait, err := try(topic, data, key)
		if err == nil || wait < 0 {
			return result, err
		}
		if wait == 0 {
			wait = 200 * time.Millisecond << min(attempt, 4)
		}
		// A random part: many publishers must not all return at once.
		wait += time.Duration(mathrand.Int63n(int64(wait)/2 + 1))
		if time.Now().Add(wait).After(giveUpAt) {
			return answer{}, fmt.Errorf("gave up: %w", err)
		}
		time.Sleep(wait)
	}
}

// Returns when to repeat the request if it failed: 0 if the broker does not say, negative for never.
func try(topic, data, key string) (answer, time.Duration, error) {
	url := os.Getenv("FANFARE_URL")
	if url == "" {
		url = "http://localhost:8080"
	}
	request, err := http.NewRequest("POST", url+"/v1/topics/"+topic+"/publications", strings.NewReader(data))
	if err != nil {
		return answer{}, -1, err
	}
	request.Header.Set("Content-Type", "application/json")
	// One key for all attempts: the broker publishes once, however often this repeats the request.
	request.Header.Set("Idempotency-Key", key)
	if token := os.Getenv("FANFARE_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		// No answer. The broker may have published it: the key makes repeating safe.
		return answer{}, 0, err
	}
	defer response.Body.Close()
	var result answer
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &result)
	}
	switch response.StatusCode {
	case 200:
		return result, 0, err
	case 408, 429, 500, 502, 503, 504:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return answer{}, time.Duration(seconds) * time.Second, errors.New(response.Status + ": " + result.Detail)
	default:
		return answer{}, -1, errors.New(response.Status + ": " + result.Detail)
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "Usage: publish <topic> <json> [key]")
		os.Exit(2)
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	key := hex.EncodeToString(random)
	if len(os.Args) > 3 {
		key = os.Args[3]
	}
	result, err := publish(os.Args[1], os.Args[2], key)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
