import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

class Get {
    public static void main(String[] words) throws Exception {
        var uri = URI.create(words[1]);
        if (words[0].equals("client")) {
            var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        } else {
            System.out.println(new String(uri.toURL().openStream().readAllBytes()));
        }
    }
}
