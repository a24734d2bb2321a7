import java.time.LocalTime;

/** Everything that it needs to know comes in the environment; SWARM_STATE is its own writable folder. */
public class Main {
    public static void main(String[] args) throws InterruptedException {
        System.out.println(System.getenv("SWARM_WORKFLOW") + " " + System.getenv("SWARM_VERSION") + " runs on " + System.getenv("SWARM_BOX"));
        while (true) {
            System.out.println(LocalTime.now().withNano(0));
            Thread.sleep(1000);
        }
    }
}
