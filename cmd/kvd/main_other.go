//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "kvd needs Linux: it forks, maps and watches memory in ways that other systems do not have.")
	os.Exit(1)
}
