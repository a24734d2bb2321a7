# Builds main.jar from the sources.
set -e
command -v javac >/dev/null || { echo "javac is not there: install a JDK on this box"; exit 1; }
javac -d classes Main.java
jar --create --file main.jar --main-class Main -C classes .
rm -rf classes
