"""The libraries with which Spark reads Kafka, from Maven Central."""

import subprocess
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARIES = HERE.parents[1] / "target" / "bench" / "ingest" / "spark"


def connector_jars() -> list[Path]:
    """Those for this PySpark. They are fetched once and kept."""
    spark = version("pyspark")
    folder = LIBRARIES / spark
    complete = folder / ".complete"
    if not complete.exists():
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        maven = ["mvn", "--batch-mode", "--quiet", "--file", str(HERE / "pom.xml"), f"-Dspark.version={spark}"]
        subprocess.run([*maven, *goal], check=True)
        complete.touch()
    return sorted(folder.glob("*.jar"))
