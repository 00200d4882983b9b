// Command clients runs programs of the AWS SDKs for Go, and of what is built on them, against the endpoint of
// AWS_ENDPOINT_URL_KMS. Each prints nothing and exits with 0, or panics at the first thing that went wrong.
package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

var programs = map[string]func(context.Context){
	"v2-encryption": v2Encryption,
	"v2-signatures": v2Signatures,
	"v2-lists":      v2Lists,
	"v2-grants":     v2Grants,
	"v2-errors":     v2Errors,
	"v1":            v1,
	"step":          step,
}

// must returns a value, or panics with the error that came in its place.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(truth bool, what string) {
	if !truth {
		panic("not so: " + what)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clients PROGRAM")
		os.Exit(2)
	}
	programs[os.Args[1]](ctx)
}
