"""Holds the tests' Hub and what lcm-merge publishes there against huggingface_hub: it downloads what was published, byte for byte, and
its own upload_folder, by Git LFS with parts and verification (without Xet, which that Hub does not have), is taken by that Hub.

    python test/oracle/hub_interop.py     (with Node 24 as `node`, for instance by npx -p node)

needs: huggingface_hub==2.4.0
"""
import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files_of(folder):
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: data for name, data in files.items() if not name.startswith(".cache/") and name != ".gitattributes"}


def main():
    double = subprocess.Popen(
        ["node", str(ROOT / "test/oracle/hub-double.ts")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        started = json.loads(double.stdout.readline())
        home = tempfile.mkdtemp()
        os.environ.update(HF_ENDPOINT=started["endpoint"], HF_TOKEN="hf_interop", HF_HOME=home, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1")
        import huggingface_hub as hub  # reads the environment when it is imported

        command = ["node", str(ROOT / "src/cli.ts"), "publish", started["package"], "--to", "hf://me/ink", "--json"]
        published = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        commit = published["published"].split("@")[1]
        own = files_of(started["package"])
        there = files_of(hub.snapshot_download("me/ink", revision=commit, local_dir=f"{home}/down"))
        assert there == own, (sorted(there), sorted(own))
        print(f"huggingface_hub {hub.__version__} downloads what lcm-merge published: {len(there)} files, byte for byte")

        hub.create_repo("me/other", private=True)
        info = hub.upload_folder(repo_id="me/other", folder_path=started["package"], commit_message="by huggingface_hub")
        there = files_of(hub.snapshot_download("me/other", revision=info.oid, local_dir=f"{home}/other"))
        assert there == own, (sorted(there), sorted(own))
        again = [*command[:5], "hf://me/other", "--json"]
        same = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
        assert same["unchanged"] is True and same["published"].endswith(info.oid), same
        print("what huggingface_hub uploads is, for lcm-merge, what it would publish itself: nothing to commit")
    finally:
        double.stdin.close()
        double.wait()


if __name__ == "__main__":
    main()
