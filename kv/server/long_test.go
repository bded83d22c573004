//go:build linux

package server

import "os"

// long tells whether the tests may take their time.
func long() bool { return os.Getenv("KVD_LONG") == "1" }
