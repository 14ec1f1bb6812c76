import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** The default client of Java, which offers HTTP/2: a body of known length, a stream, and an error. */
public class Ask {
    static final String BODY = "{\"instances\": [{\"x\": 1}]}";
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static void ask(String url, BodyPublisher content) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url)).header("content-type", "application/json").POST(content).build();
        var answer = CLIENT.send(request, BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body().strip());
    }

    public static void main(String[] arguments) throws Exception {
        var url = arguments[0];
        ask(url + "/v1/models/adder:predict", BodyPublishers.ofString(BODY));
        ask(url + "/v1/models/adder:predict", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(BODY.getBytes())));
        ask(url + "/v1/models/missing:predict", BodyPublishers.ofString(BODY));
    }
}
