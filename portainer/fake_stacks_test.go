package portainer

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

type fakeBody struct {
	Name, StackFileContent, RepositoryURL, RepositoryReferenceName, ComposeFile string
	Env                                                                         []Variable
}

func (f *fake) stack(w http.ResponseWriter, r *http.Request, rest []string) {
	switch {
	case len(rest) == 0:
		rows := []stackRow{}
		for _, s := range f.stacks {
			rows = append(rows, s.stackRow)
		}
		write(w, rows)
		return
	case rest[0] == "create":
		f.createStack(w, r, rest[2])
		return
	}
	id, _ := strconv.Atoi(rest[0])
	i := slices.IndexFunc(f.stacks, func(s *fakeStack) bool { return s.ID == id })
	if i < 0 {
		refuse(w, 404, "Unable to find a stack with the specified identifier inside the database", "")
		return
	}
	s := f.stacks[i]
	if r.Method != "GET" && r.URL.Query().Get("endpointId") != strconv.Itoa(s.EndpointID) {
		refuse(w, 400, "Invalid query parameter: endpointId", "")
		return
	}
	place := fmt.Sprintf("%d/%s", s.EndpointID, s.Name)
	switch {
	case r.Method == "GET" && len(rest) == 1:
		if s.looks--; s.pending != nil && s.looks <= 0 {
			s.pending()
			s.pending = nil
		}
		write(w, s.stackRow)
	case r.Method == "GET":
		write(w, map[string]string{"StackFileContent": s.file})
	case r.Method == "DELETE":
		f.stacks = slices.Delete(f.stacks, i, i+1)
		delete(f.containers, place)
		w.WriteHeader(204)
	case r.Method == "POST":
		s.Status = map[string]StackState{"start": Active, "stop": Inactive}[rest[1]]
		for i := range f.containers[place] {
			f.containers[place][i].state = map[string]string{"start": "running", "stop": "exited"}[rest[1]]
		}
		write(w, s.stackRow)
	case r.Method == "PUT":
		f.updateStack(w, r, s, len(rest) > 1)
	}
}

func (f *fake) createStack(w http.ResponseWriter, r *http.Request, method string) {
	var body fakeBody
	decode(r, &body)
	environment, _ := strconv.Atoi(r.URL.Query().Get("endpointId"))
	s := &fakeStack{file: body.StackFileContent}
	s.ID, s.Name, s.EndpointID, s.Env, s.Status = f.nextID, NormalizeName(body.Name), environment, body.Env, Active
	f.nextID++
	if method == "repository" {
		s.file = f.gitFile
		s.setGit(body.RepositoryURL, body.RepositoryReferenceName, body.ComposeFile, f.commit)
		if f.p.stripsGit {
			s.GitConfig.URL = strings.TrimSuffix(s.GitConfig.URL, ".git")
		}
	}
	if slices.ContainsFunc(f.stacks, func(o *fakeStack) bool { return o.EndpointID == environment && o.Name == s.Name }) {
		refuse(w, 409, "A stack with the normalized name '"+s.Name+"' already exists", "")
		return
	}
	deploy := func() error { return f.compose(environment, s.Name, s.file, fmt.Sprint(values(s.Env)), s.ID) }
	if f.p.async {
		f.stacks = append(f.stacks, s)
		s.start(f.pulling, deploy, func(error) {})
		write(w, s.stackRow)
		return
	}
	if err := deploy(); err != nil {
		delete(f.containers, fmt.Sprintf("%d/%s", environment, s.Name))
		refuse(w, 500, err.Error(), err.Error())
		return
	}
	f.stacks = append(f.stacks, s)
	write(w, s.stackRow)
}

func values(list []Variable) []string {
	var out []string
	for _, v := range list {
		value, _ := DecodeValue(v.Value)
		out = append(out, v.Name+"="+value)
	}
	return out
}

func (s *fakeStack) setGit(url, ref, path, commit string) {
	s.GitConfig = &struct {
		URL            string
		ReferenceName  string
		ConfigFilePath string
		ConfigHash     string
		TLSSkipVerify  bool
	}{url, ref, path, commit, false}
}

// start begins a deployment that ends after some looks at it.
func (s *fakeStack) start(looks int, deploy func() error, failed func(error)) {
	s.Status, s.looks, s.DeploymentStatus = Deploying, looks, nil
	s.pending = func() {
		s.Status = Active
		if err := deploy(); err != nil {
			failed(err)
			s.Status = Broken
			s.DeploymentStatus = append(s.DeploymentStatus, struct {
				Status  StackState
				Message string
			}{Broken, err.Error()})
		}
	}
}

func (f *fake) updateStack(w http.ResponseWriter, r *http.Request, s *fakeStack, git bool) {
	var body fakeBody
	decode(r, &body)
	if s.Status == Deploying {
		refuse(w, 409, "Unable to update stack", "Stack deployment is already in progress")
		return
	}
	old, file := *s, body.StackFileContent
	if git {
		file = f.gitFile
	} else {
		s.GitConfig = nil
	}
	place := fmt.Sprintf("%d/%s", s.EndpointID, s.Name)
	deploy := func() error {
		if git {
			f.containers[place] = nil // always made anew
		}
		return f.compose(s.EndpointID, s.Name, file, fmt.Sprint(values(body.Env)), s.ID)
	}
	done := func() {
		f.clock++
		s.file, s.Env, s.UpdateDate = file, body.Env, f.clock
		if git {
			s.GitConfig.ConfigHash, s.GitConfig.ReferenceName = f.commit, body.RepositoryReferenceName
		}
	}
	if f.p.async {
		done()
		s.start(f.pulling, deploy, func(error) { s.file = old.file }) // the variables stay the new ones
		write(w, s.stackRow)
		return
	}
	if err := deploy(); err != nil {
		if f.p.takesDown {
			delete(f.containers, place)
		}
		refuse(w, 500, err.Error(), err.Error())
		return
	}
	done()
	write(w, s.stackRow)
}
