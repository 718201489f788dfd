package release

import (
	"archive/tar"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/phalanx-scheduler/phalanx/test/chroot"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

var (
	from  = regexp.MustCompile(`(?m)^FROM (?:--platform=\$BUILDPLATFORM )?(\S+) AS (\S+)$`)
	exact = regexp.MustCompile(`^[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}$`)
)

// TestBasesArePinnedAndDistroless reads the Dockerfile line by line.
func TestBasesArePinnedAndDistroless(t *testing.T) {
	dockerfile := read(t, root(t), "Dockerfile")
	assert.Len(t, from.FindAllString(dockerfile, -1), strings.Count(dockerfile, "\nFROM "), "a FROM that this test cannot read")
	assert.NotContains(t, dockerfile, "latest")
	bases := map[string]string{}
	for _, stage := range from.FindAllStringSubmatch(dockerfile, -1) {
		assert.Regexp(t, exact, stage[1])
		bases[stage[2]] = stage[1]
	}
	assert.Regexp(t, `^gcr\.io/distroless/static-debian\d+:nonroot@`, bases["phalanx-scheduler"])
	assert.Regexp(t, `^gcr\.io/distroless/base-nossl-debian\d+:nonroot@`, bases["phalanx-reporter"])
	users := regexp.MustCompile(`(?m)^USER (.*)$`).FindAllStringSubmatch(dockerfile, -1)
	assert.Len(t, users, len(programs))
	for _, user := range users {
		assert.Equal(t, "65532:65532", user[1])
	}
	assert.Equal(t, "*", regexp.MustCompile(`(?m)^[^#].*$`).FindString(read(t, root(t), ".dockerignore")), "what is not named does not get into a build")
}

// TestDockerBuildsWithTheSameGo: the builder is of the minor version that go.mod asks for.
func TestDockerBuildsWithTheSameGo(t *testing.T) {
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, root(t), "go.mod"))
	builders := regexp.MustCompile(`golang:(\d+\.\d+)\.\d+-`).FindAllStringSubmatch(read(t, root(t), "Dockerfile"), -1)
	require.Len(t, builders, len(programs))
	for _, builder := range builders {
		assert.Equal(t, want[1], builder[1])
	}
}

// TestDockerBuildsWhatItCopies asks make what it would do for the Dockerfile, which cannot be run here: the files that images are made of
// are the ones that are built, with the version and for the architecture that were asked for.
func TestDockerBuildsWhatItCopies(t *testing.T) {
	dockerfile := read(t, root(t), "Dockerfile")
	steps := regexp.MustCompile(`(?m)^RUN make (.*) && mv (\S+) (\S+)$`).FindAllStringSubmatch(dockerfile, -1)
	require.Len(t, steps, strings.Count(dockerfile, "\nRUN "))
	require.Len(t, steps, len(programs))
	for i, step := range steps {
		filled := strings.NewReplacer("$VERSION", "v1.2.3", "$TARGETARCH", "arm64")
		make := exec.CommandContext(t.Context(), "make", append([]string{"-n"}, strings.Fields(filled.Replace(step[1]))...)...)
		make.Dir = root(t)
		out, err := make.CombinedOutput()
		require.NoError(t, err, "%s", out)
		for _, part := range []string{"-o " + filled.Replace(step[2]) + " ./cmd/" + programs[i], "GOOS=linux GOARCH=arm64", "ersion=v1.2.3", "-trimpath"} {
			assert.Contains(t, string(out), part)
		}
		assert.Contains(t, dockerfile, "COPY --from=build-"+strings.TrimPrefix(programs[i], "phalanx-")+" "+step[3]+" /"+programs[i]+"\n")
	}
}

func TestTheSchedulerIsStatic(t *testing.T) {
	for _, file := range binaries(t) {
		if !strings.HasPrefix(filepath.Base(file), "phalanx-scheduler") {
			continue
		}
		f, err := elf.Open(file)
		require.NoError(t, err)
		defer f.Close()
		for _, segment := range f.Progs {
			assert.NotEqual(t, elf.PT_INTERP, segment.Type, file)
		}
	}
}

// TestAnImageIsItsProgramAndItsBase looks at everything that is in an image, and at what it says of itself.
func TestAnImageIsItsProgramAndItsBase(t *testing.T) {
	for _, program := range programs {
		for _, one := range images(t, program) {
			t.Run(program+" "+one.Architecture, func(t *testing.T) {
				says := one.config.Config
				assert.Equal(t, "linux", one.OS)
				assert.Equal(t, "65532:65532", says.User)
				assert.Equal(t, []string{"/" + program}, says.Entrypoint)
				assert.Empty(t, says.Cmd)
				assert.Empty(t, says.Volumes)
				assert.Empty(t, says.ExposedPorts)
				lookAtLabels(t, program, one)
				ours, files := one.layers[len(one.layers)-1], 0
				each(t, ours, func(header *tar.Header, content []byte) {
					files++
					assert.Equal(t, program, header.Name)
					assert.EqualValues(t, tar.TypeReg, header.Typeflag)
					assert.EqualValues(t, 0o555, header.Mode, "nobody may write it")
					assert.Zero(t, header.Uid)
					assert.Equal(t, one.config.Created, header.ModTime.UTC(), "it says nothing of when it was built")
					if len(one.layers) > 1 || *given == "" { // else it may be one that was built without cgo
						assert.True(t, read(t, dist(t), program+"-linux-"+one.Architecture) == string(content), "it is the program of the release")
					}
				})
				assert.Equal(t, 1, files)
			})
		}
	}
}

func lookAtLabels(t *testing.T, program string, one image) {
	t.Helper()
	labels := map[string]string{}
	for key, value := range one.config.Config.Labels {
		if short, ok := strings.CutPrefix(key, "org.opencontainers.image."); ok {
			labels[short] = value
		}
	}
	assert.Equal(t, program, labels["title"])
	assert.NotEmpty(t, labels["description"])
	assert.Equal(t, "https://github.com/phalanx-scheduler/phalanx", labels["source"])
	assert.Equal(t, "Apache-2.0", labels["licenses"])
	assert.Equal(t, version(t), labels["version"])
	assert.Regexp(t, `^([0-9a-f]{40}|unknown)$`, labels["revision"])
	assert.Equal(t, one.config.Created.Format(time.RFC3339), labels["created"])
	if len(one.layers) == 1 {
		assert.Equal(t, "scratch", labels["base.name"], "an empty base is said to be one")
		assert.NotContains(t, labels, "base.digest")
	} else {
		assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, labels["base.digest"])
		assert.Regexp(t, `^local/|@`+labels["base.digest"]+`$`, labels["base.name"], "it is the pinned one, or is said not to be")
	}
}

// TestImagesRun unpacks them and runs their entrypoint as a container would be run, as far as a test can: in the image's own root folder,
// as its user, who owns nothing there.
func TestImagesRun(t *testing.T) {
	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			one := here(t, program)
			out, err := one.run(t, "--version")
			require.NoError(t, err, "%s", out)
			assert.Contains(t, out, " "+one.config.Config.Labels["org.opencontainers.image.version"]+" ", "the program is of the version that the label says")
			if program == "phalanx-reporter" && len(one.layers) > 1 {
				out, err := one.run(t, "--once")
				require.Error(t, err, "where there is no GPU")
				assert.Regexp(t, "libnvidia-ml.so.1 was not found", out, "it can talk to GPUs, and looks for the driver when it runs")
			}
		})
	}
}

// unpacked is an image and the folder that it is unpacked to.
type unpacked struct {
	image
	folder string
}

// here is a program's image for this machine.
var here = remembered(func(t *testing.T, program string) unpacked {
	for _, one := range images(t, program) {
		if one.Architecture == runtime.GOARCH {
			return unpacked{one, one.unpack(t)}
		}
	}
	t.Skip("there is no image for this machine")
	return unpacked{}
})

// run runs the entrypoint with arguments.
func (u unpacked) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	line := append(chroot.Enter(t, u.folder), u.config.Config.Entrypoint...)
	out, err := exec.CommandContext(t.Context(), line[0], append(line[1:], args...)...).CombinedOutput()
	return string(out), err
}

// TestManifestsRunTheImages: what pods ask for is in the images. They are named by the version, and the entrypoint takes their arguments.
func TestManifestsRunTheImages(t *testing.T) {
	for _, overlay := range []string{"default", "drop-in", "single-replica", "reporter-cdi", "reporter-hostpath"} {
		objects, err := cluster.Render("manifests/" + overlay)
		require.NoError(t, err)
		seen := 0
		for _, object := range objects {
			var pod v1.PodSpec
			switch object.GetKind() {
			case "Deployment":
				pod = as[appsv1.Deployment](t, object.Object).Spec.Template.Spec
			case "DaemonSet":
				pod = as[appsv1.DaemonSet](t, object.Object).Spec.Template.Spec
			default:
				continue
			}
			seen++
			program, c := object.GetName(), pod.Containers[0]
			assert.Equal(t, program+":"+version(t), c.Image, overlay)
			assert.Empty(t, c.Command, "%s: the image knows it", program)
			assert.EqualValues(t, 65532, *pod.SecurityContext.RunAsUser, "as the image says")
			out, err := here(t, program).run(t, append(c.Args, "--help")...)
			assert.NoError(t, err, "%s: %s: %v\n%s", overlay, program, c.Args, out)
		}
		assert.NotZero(t, seen, overlay)
	}
}

func as[T any](t *testing.T, object map[string]any) *T {
	t.Helper()
	typed := new(T)
	require.NoError(t, apiruntime.DefaultUnstructuredConverter.FromUnstructured(object, typed))
	return typed
}
