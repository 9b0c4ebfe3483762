// Runs Kafka's tools one after another in one JVM, for java_peer.py: their start is most of what they cost. On stdin
// of each: count of words, the words (class, arguments), then its own stdin; on stdout: status, its stdout, its stderr.
// Numbers are 4 bytes, texts have their length in bytes before them. Ends with its input.
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.apache.kafka.common.utils.Exit;

public class ToolShell {
    // What a tool gets where it would have ended its process.
    static class Ended extends Error {
        Ended() {
            super(null, null, false, false);
        }
    }

    static final List<Runnable> hooks = new ArrayList<>(); // for the end of the process
    static Integer status; // of the first end; tools that catch everything end once more

    static void end(int with) {
        if (status == null) {
            status = with;
            System.out.flush();
            System.err.flush();
            System.setOut(new PrintStream(OutputStream.nullOutputStream()));
            System.setErr(new PrintStream(OutputStream.nullOutputStream()));
        }
        throw new Ended();
    }

    static byte[] readText(DataInputStream in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }

    static void writeText(DataOutputStream out, ByteArrayOutputStream text) throws IOException {
        out.writeInt(text.size());
        text.writeTo(out);
    }

    static int run(String tool, String[] arguments) {
        status = null;
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return status == null ? 0 : status;
        } catch (InvocationTargetException e) {
            e.getCause().printStackTrace(); // to nowhere when it ended itself
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
        }
        return status == null ? 1 : status;
    }

    static void runHooks() {
        for (Runnable hook : hooks) {
            try {
                hook.run();
            } catch (Throwable e) {
                e.printStackTrace();
            }
        }
        hooks.clear();
    }

    public static void main(String[] args) throws IOException {
        DataInputStream in = new DataInputStream(System.in);
        DataOutputStream out = new DataOutputStream(new java.io.BufferedOutputStream(System.out));
        Exit.setExitProcedure((with, message) -> end(with));
        Exit.setHaltProcedure((with, message) -> end(with));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        while (true) {
            int count;
            try {
                count = in.readInt();
            } catch (EOFException e) {
                return;
            }
            String tool = new String(readText(in), StandardCharsets.UTF_8);
            String[] arguments = new String[count - 1];
            for (int i = 0; i < arguments.length; i++) {
                arguments[i] = new String(readText(in), StandardCharsets.UTF_8);
            }
            System.setIn(new ByteArrayInputStream(readText(in)));
            ByteArrayOutputStream stdout = new ByteArrayOutputStream();
            ByteArrayOutputStream stderr = new ByteArrayOutputStream();
            System.setOut(new PrintStream(stdout, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(stderr, true, StandardCharsets.UTF_8));
            PrintStream toOut = System.out;
            PrintStream toErr = System.err;
            int with = run(tool, arguments);
            System.setOut(toOut);
            System.setErr(toErr);
            runHooks();
            toOut.flush();
            toErr.flush();
            out.writeInt(with);
            writeText(out, stdout);
            writeText(out, stderr);
            out.flush();
        }
    }
}
