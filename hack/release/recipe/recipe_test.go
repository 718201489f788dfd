package recipe

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sound = `
FROM golang:1 AS build
RUN make
FROM scratch AS hello
ARG VERSION
LABEL version="$VERSION" title="says hello"
COPY --from=build /out/hello /bin/hello
USER 65532:65532
ENTRYPOINT ["/bin/hello"]
`

func TestAnImageIsALastStage(t *testing.T) {
	images, err := Read(strings.NewReader(sound), map[string]string{"VERSION": "v1"})
	require.NoError(t, err)
	assert.Equal(t, []Image{{
		Name: "hello", Base: "scratch", Labels: map[string]string{"version": "v1", "title": "says hello"},
		Files: []File{{Built: "hello", Path: "/bin/hello"}}, User: "65532:65532", Entrypoint: []string{"/bin/hello"},
	}}, images)
}

func TestWhatIsNotUnderstoodIsNotLeftOut(t *testing.T) {
	for name, change := range map[string]struct{ old, new, want string }{
		"an instruction that takes a shell":     {"USER", "RUN true\nUSER", `stage "hello": line 8: RUN: a last stage has ARG, LABEL, COPY, USER and ENTRYPOINT alone`},
		"an environment":                        {"USER", "ENV A=b\nUSER", "ENV: a last stage has"},
		"an entrypoint for a shell":             {`ENTRYPOINT ["/bin/hello"]`, "ENTRYPOINT /bin/hello", "ENTRYPOINT is a list: there is no shell"},
		"a file of the build's context":         {"USER", "COPY hello /hello\nUSER", "COPY has the form COPY --from=STAGE FILE /PATH"},
		"an owner of a file":                    {"COPY", "COPY --chown=65532", "COPY has the form COPY --from=STAGE FILE /PATH"},
		"a variable without a value":            {"$VERSION", "$REVISION", "has no value"},
		"no user":                               {"USER 65532:65532\n", "", "a last stage has a name, USER and ENTRYPOINT"},
		"a word that is none of a Dockerfile's": {"USER", "WHO", "unknown instruction: WHO"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(sound, change.old, change.new, 1)
			require.NotEqual(t, sound, broken)
			_, err := Read(strings.NewReader(broken), map[string]string{"VERSION": "v1"})
			assert.ErrorContains(t, err, change.want)
		})
	}
}

func TestOurDockerfile(t *testing.T) {
	file, err := os.Open("../../../Dockerfile")
	require.NoError(t, err)
	defer file.Close()
	images, err := Read(file, map[string]string{"VERSION": "v1", "REVISION": "unknown", "CREATED": "1970-01-01T00:00:00Z"})
	require.NoError(t, err)
	require.Len(t, images, 2)
	assert.Equal(t, "phalanx-scheduler", images[0].Name)
	assert.Equal(t, "phalanx-reporter", images[1].Name)
}
