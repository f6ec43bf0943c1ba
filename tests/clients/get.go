// Go's net/http as a program uses it: prints what a URL says.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body), err)
	if response.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}
