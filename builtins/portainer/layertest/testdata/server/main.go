// Command server is the one program in the images of the tests: it tells its environment and files,
// plays bash in health checks, and asks other servers.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	switch {
	case filepath.Base(os.Args[0]) == "bash": // bash -c 'exec 3<>/dev/tcp/ADDRESS/PORT'
		_, rest, _ := strings.Cut(os.Args[len(os.Args)-1], "/dev/tcp/")
		conn, err := net.Dial("tcp", strings.Replace(rest, "/", ":", 1))
		if err != nil {
			log.Fatal(err)
		}
		conn.Close()
	case len(os.Args) == 3 && os.Args[1] == "get":
		get(os.Args[2])
	default:
		serve()
	}
}

// get prints what an address answers, once it does.
func get(url string) {
	for try := 0; ; try++ {
		resp, err := http.Get(url)
		if err != nil {
			if try == 300 {
				log.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
			log.Fatal(err)
		}
		return
	}
}

func serve() {
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		env := map[string]string{}
		for _, e := range os.Environ() {
			name, value, _ := strings.Cut(e, "=")
			env[name] = value
		}
		json.NewEncoder(w).Encode(env)
	})
	http.HandleFunc("/file/", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(strings.TrimPrefix(r.URL.Path, "/file"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Write(text)
	})
	http.HandleFunc("/write/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.WriteFile(strings.TrimPrefix(r.URL.Path, "/write"), []byte("x"), 0o600))
	})
	port := os.Getenv("WHOAMI_PORT_NUMBER")
	if port == "" {
		port = "6333"
	}
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
